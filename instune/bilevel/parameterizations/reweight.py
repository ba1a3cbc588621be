"""One learnable loss weight per task; the instructions stay human."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instune.bilevel.parameterizations.base import Embed, Material, Parameterization, Terms
from instune.records import Example, Task
from instune.tuning.rows import Shown, TrainingRow


class Reweight(Parameterization):
    """phi: (n_task,) logits, zeros at the start: every task weighs 1."""

    name, per_task = "reweight", True

    def __init__(self, material: Material, task_ids: Sequence[str], device: torch.device) -> None:
        super().__init__(material, task_ids, [torch.zeros(len(task_ids))], device)

    def show(self, task: Task, example: Example) -> Shown:
        return Shown()

    def terms(self, rows: Sequence[TrainingRow], part: Sequence[int], embed: Embed, *, seed: int) -> Terms:
        """Softmax over the rows of the batch, times their number, so that a batch's weights have mean 1."""
        logits = self.phi[0][torch.tensor([self.place[row.task_id] for row in rows], device=self.phi[0].device)]  # (B,)
        return Terms(weights=(logits.softmax(0) * len(rows))[list(part)])

    def weights(self) -> dict[str, float]:
        """Weight of every task, of mean 1: what a batch with one row of each task would give."""
        values = self.phi[0].detach().cpu().double().softmax(0) * len(self.task_ids)
        return dict(zip(self.task_ids, values.tolist(), strict=True))

    def settings(self) -> dict[str, Any]:
        return {"weights": self.weights()}

    def tensors(self) -> dict[str, Tensor]:
        return {"logits": self.phi[0].detach().cpu()}

    def description(self) -> dict[str, Any]:
        return {}

    def instruction_embeddings(self) -> Tensor:
        return torch.stack([self.material.mean_embedding(self.material.tasks[task_id].definition) for task_id in self.task_ids])
