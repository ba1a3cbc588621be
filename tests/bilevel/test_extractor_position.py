"""Exemplars are learned behind the instruction and in front of the input, so no other place is offered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect
from instune.errors import InputError


def test_an_instruction_behind_the_input_is_refused_where_exemplars_are_learned(material):
    behind = replace(material, prompt=material.prompt.model_copy(update={"instruction_position": "after"}))
    choice = {"exemplars": 1, "candidates": 2, "max_tokens": 40, "choice": "hard", "temperature": 1.0, "gumbel": False}
    with pytest.raises(InputError, match=r"prompt\.instruction_position: after is not allowed where exemplars are learned"):
        ExtractorDirect(behind, ["task0"], torch.device("cpu"), instruction=True, **choice)
