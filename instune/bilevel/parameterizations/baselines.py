"""Exemplars that nobody learned: the same for every row of a task, drawn for every row, or none at all."""

from __future__ import annotations

from typing import Any, Literal

import torch

from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.candidates import candidates_of
from instune.bilevel.parameterizations.extractor import as_json

Baseline = Literal["fixed", "random"]


def baseline_settings(
    material: Material, choose: Baseline, *, exemplars: int, candidates: int, max_tokens: int, instruction: bool
) -> dict[str, Any]:
    """What an extractor's artefact would say, candidates in seeded order and equally probable.

    Args:
        choose: `fixed`: a task's first candidates in every row; `random`: drawn for every row by its example id.
        exemplars: 0 with `instruction` False leaves the rows without any instruction.
    """
    ranked = {}
    for task_id in sorted(material.tasks):
        found = candidates_of(material, task_id, count=candidates, max_tokens=max_tokens) if exemplars else []
        share = torch.full((exemplars,), 1 / max(1, len(found)))
        ranked[task_id] = [as_json(one, share) for one in found]
    seed = material.seed if choose == "random" else None
    return {"exemplars": exemplars, "instruction": instruction, "candidates": ranked, "draw_seed": seed}
