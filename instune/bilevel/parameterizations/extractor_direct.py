"""Instruction extractor, direct: logits per task over the candidates at every place of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.extractor import Extractor, text_embedding
from instune.records import Example, Exemplar

SPARES = 4  # candidates kept beside the chosen ones, for rows on a chosen exemplar itself


class ExtractorDirect(Extractor):
    """phi: (n_task, exemplars, candidates) logits, zeros at the start."""

    name, per_task = "extractor_direct", True

    def __init__(
        self, material: Material, task_ids: Sequence[str], device: torch.device, *, exemplars: int, candidates: int, **choice: Any
    ) -> None:
        start = torch.zeros(len(task_ids), exemplars, candidates)
        super().__init__(material, task_ids, [start], device, exemplars=exemplars, candidates=candidates, **choice)

    def logits(self, task_id: str, example: Example) -> Tensor:
        return self.phi[0][self.place[task_id]][:, : len(self.known[task_id].candidates)]

    def probabilities(self, task_id: str) -> Tensor:
        """(S, C) softmax at every place, on the CPU."""
        known = len(self.known[task_id].candidates)
        return (self.phi[0].detach().cpu()[self.place[task_id]][:, :known] / self.temperature).softmax(-1)

    def chosen(self, task_id: str) -> list[dict[str, Any]]:
        """The chosen exemplars of a task, one for every place, then the next best ones."""
        if task_id not in self.known:
            return []
        return self.ranked(task_id, self.probabilities(task_id))[: self.exemplars + SPARES]

    def _exemplars(self, task_id: str) -> list[Exemplar]:
        return [Exemplar(one["input"], one["output"]) for one in self.chosen(task_id)[: self.exemplars]]

    def settings(self) -> dict[str, Any]:
        ranked = {task_id: self.chosen(task_id) for task_id in self.task_ids}
        return {"exemplars": self.exemplars, "instruction": self.instruction, "candidates": ranked, "draw_seed": None}

    def tensors(self) -> dict[str, Tensor]:
        return {"logits": self.phi[0].detach().cpu()}

    def description(self) -> dict[str, Any]:
        return {}

    def instruction_embeddings(self) -> Tensor:
        return torch.stack(
            [
                text_embedding(self.material, task_id, self._exemplars(task_id), instruction=self.instruction)
                for task_id in self.task_ids
            ]
        )
