"""The learnable methods by name."""

from __future__ import annotations

from instune.bilevel.parameterizations.base import Parameterization
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect
from instune.bilevel.parameterizations.reweight import Reweight

METHODS: dict[str, type[Parameterization]] = {method.name: method for method in (EmbedderDirect, ExtractorDirect, Reweight)}
