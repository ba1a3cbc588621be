"""The learnable methods by name."""

from __future__ import annotations

from instune.bilevel.parameterizations.base import Parameterization
from instune.bilevel.parameterizations.embedder_conversion import EmbedderConversion
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.parameterizations.extractor_conversion import ExtractorConversion
from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect
from instune.bilevel.parameterizations.reweight import Reweight

LEARNABLE = (EmbedderDirect, EmbedderConversion, ExtractorDirect, ExtractorConversion, Reweight)
METHODS: dict[str, type[Parameterization]] = {method.name: method for method in LEARNABLE}
