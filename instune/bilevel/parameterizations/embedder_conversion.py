"""Instruction embedder, conversion: text through a frozen table or encoder and a linear map into the embedding space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from instune.bilevel.describe import nearest_tokens
from instune.bilevel.parameterizations.base import Embed, Material, Parameterization, Terms
from instune.bilevel.parameterizations.source_text import Source, source_ids
from instune.bilevel.parameterizations.source_vectors import ConvertBy, initial_map, source_vectors
from instune.records import Example, Task
from instune.tuning.rows import Shown, TrainingRow

SHOWN = 8  # rows of a task averaged for the measures of diversity, where rows differ


class EmbedderConversion(Parameterization):
    """phi: (d, d) weight and (d,) bias of the map; at the start every task begins with its text itself (`initial_map`).

    What is mapped comes from a copy of the base model: it does not move while the model trains.

    Args:
        soft_tokens: longer texts are cut.
        source: what text.
        convert_by: what gives the vectors that are mapped.
    """

    name, per_task = "embedder_conversion", False

    def __init__(
        self,
        material: Material,
        task_ids: Sequence[str],
        device: torch.device,
        *,
        soft_tokens: int,
        source: Source,
        convert_by: ConvertBy = "table",
    ) -> None:
        super().__init__(material, task_ids, initial_map(material, convert_by), device)
        self.soft_tokens, self.source, self.convert_by = soft_tokens, source, convert_by
        self.vectors = source_vectors(material, convert_by)
        self.by_id = {(row.task_id, row.example_id): row for task_id in self.task_ids for row in material.examples[task_id]}

    def show(self, task: Task, example: Example) -> Shown:
        return Shown(soft_tokens=len(self._ids(task, example)))

    def terms(self, rows: Sequence[TrainingRow], part: Sequence[int], embed: Embed, *, seed: int) -> Terms:
        wanted = [rows[index] for index in part if rows[index].soft[1]]
        return Terms([self.converted(self.by_id[row.task_id, row.example_id]) for row in wanted])

    def _ids(self, task: Task, example: Example) -> list[int]:
        settings = {"source": self.source, "soft_tokens": self.soft_tokens, "seed": self.material.seed}
        return source_ids(self.material, task, example, **settings)

    def converted(self, example: Example) -> Tensor:
        """(n, d) soft instruction of a row on this example."""
        ids = self._ids(self.material.tasks[example.task_id], example)
        return F.linear(self.vectors(ids).to(self.phi[0].device), *self.phi)

    def settings(self) -> dict[str, Any]:
        chosen = {"source": self.source, "convert_by": self.convert_by}
        return chosen | {"soft_tokens": self.soft_tokens, "seed": self.material.seed}

    def tensors(self) -> dict[str, Tensor]:
        return {"weight": self.phi[0].detach().cpu(), "bias": self.phi[1].detach().cpu()}

    def _shown(self, task_id: str) -> list[Tensor]:
        rows = self.material.examples[task_id][: 1 if self.source == "definition" else SHOWN]
        with torch.no_grad():
            found = [self.converted(row).cpu() for row in rows if self._ids(self.material.tasks[task_id], row)]
        return found or [torch.zeros(1, self.material.table.shape[1])]

    def description(self) -> dict[str, Any]:
        known = self.material
        firsts = {task_id: self._shown(task_id)[0] for task_id in self.task_ids}
        found = {task_id: nearest_tokens(prompt, known.table, known.tokenizer) for task_id, prompt in firsts.items()}
        return {"nearest_tokens": found}

    def instruction_embeddings(self) -> Tensor:
        return torch.stack(
            [torch.stack([prompt.mean(0) for prompt in self._shown(task_id)]).mean(0) for task_id in self.task_ids]
        )
