"""Instruction extractor, conversion: a bilinear score of a row's input against every candidate of its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.candidates import exemplar_text
from instune.bilevel.parameterizations.extractor import Extractor, as_json, choose, text_embedding
from instune.records import Example

ROWS = 8  # of a task, for the measures of diversity


class ExtractorConversion(Extractor):
    """phi: (exemplars, d, d), one form per place, zeros at the start: score = query' W candidate.

    Query and candidate are mean token embeddings in the base model's table, centred on the table's mean and scaled to length 1;
    the query is the row's input alone, since its answer is to be learned.
    """

    name, per_task = "extractor_conversion", False

    def __init__(
        self, material: Material, task_ids: Sequence[str], device: torch.device, *, exemplars: int, **choice: Any
    ) -> None:
        width = material.table.shape[1]
        start = torch.zeros(exemplars, width, width)
        super().__init__(material, task_ids, [start], device, exemplars=exemplars, **choice)
        self.center = material.table.mean(0)
        self.keys = {
            task_id: torch.stack([self._unit(exemplar_text(material, one.exemplar, 0)) for one in table.candidates]).to(device)
            for task_id, table in self.known.items()
        }  # (C, d)

    def _unit(self, text: str) -> Tensor:
        centred = self.material.mean_embedding(text) - self.center
        return centred / centred.norm().clamp_min(1e-12)

    def logits(self, task_id: str, example: Example) -> Tensor:
        query = self._unit(example.input).to(self.phi[0].device)
        return torch.einsum("d,sde,ce->sc", query, self.phi[0], self.keys[task_id])

    def picked(self, task_id: str, example: Example) -> list[int]:
        """The candidates that a row on this example shows."""
        slots = self._slots(task_id, example)
        if not slots:
            return []
        with torch.no_grad():
            allowed = torch.tensor(self.known[task_id].allowed(example), device=self.phi[0].device)
            return choose(self.logits(task_id, example)[:slots] / self.temperature, allowed, hard=True)[1]

    def probabilities(self, task_id: str) -> Tensor:
        """(S, C) softmax at every place, the mean over the task's examples, on the CPU."""
        with torch.no_grad():
            rows = [self.logits(task_id, example) / self.temperature for example in self.material.examples[task_id]]
        return torch.stack(rows).softmax(-1).mean(0).cpu()

    def settings(self) -> dict[str, Any]:
        """All candidates with their mean probability, and by example the places of those that its row shows."""
        candidates, chosen = {}, {}
        for task_id in self.task_ids:
            shares = self.probabilities(task_id) if task_id in self.known else None
            known = self.known[task_id].candidates if task_id in self.known else ()
            candidates[task_id] = [as_json(one, shares[:, place]) for place, one in enumerate(known)]
            chosen[task_id] = {row.example_id: self.picked(task_id, row) for row in self.material.examples[task_id]}
        settings = {"exemplars": self.exemplars, "instruction": self.instruction, "draw_seed": None}
        return settings | {"candidates": candidates, "chosen": chosen}

    def tensors(self) -> dict[str, Tensor]:
        return {"bilinear": self.phi[0].detach().cpu()}

    def description(self) -> dict[str, Any]:
        return {}

    def instruction_embeddings(self) -> Tensor:
        """For every task the mean over its first rows of what each shows."""
        means = []
        for task_id in self.task_ids:
            known = self.known[task_id].candidates if task_id in self.known else ()
            exemplars = [[known[place].exemplar for place in self.picked(task_id, row)] for row in self._first(task_id)]
            parts = [text_embedding(self.material, task_id, shown, instruction=self.instruction) for shown in exemplars]
            means.append(torch.stack(parts).mean(0))
        return torch.stack(means)

    def _first(self, task_id: str) -> Sequence[Example]:
        return self.material.examples[task_id][:ROWS]
