"""Instruction embedder, direct: a matrix of input embeddings per task in the place of its instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instune.bilevel.describe import nearest_tokens
from instune.bilevel.parameterizations.base import Embed, Material, Parameterization, Terms
from instune.bilevel.parameterizations.initial import Initial, initial_prompts
from instune.records import Example, Task
from instune.tuning.rows import Shown, TrainingRow


class EmbedderDirect(Parameterization):
    """phi: (n_task, soft_tokens, d)."""

    name, per_task = "embedder_direct", True

    def __init__(
        self, material: Material, task_ids: Sequence[str], device: torch.device, *, soft_tokens: int, initial: Initial
    ) -> None:
        start = initial_prompts(material, task_ids, soft_tokens=soft_tokens, initial=initial)
        super().__init__(material, task_ids, [start], device)

    @property
    def prompts(self) -> Tensor:
        """(n_task, soft_tokens, d)."""
        return self.phi[0]

    def show(self, task: Task, example: Example) -> Shown:
        return Shown(soft_tokens=self.prompts.shape[1])

    def terms(self, rows: Sequence[TrainingRow], part: Sequence[int], embed: Embed, *, seed: int) -> Terms:
        own = {task_id: self.prompts[self.place[task_id]] for task_id in dict.fromkeys(rows[index].task_id for index in part)}
        return Terms([own[rows[index].task_id] for index in part])

    def settings(self) -> dict[str, Any]:
        return {"soft_tokens": self.prompts.shape[1]}

    def tensors(self) -> dict[str, Tensor]:
        return {"soft_prompts": self.prompts.detach().cpu()}

    def description(self) -> dict[str, Any]:
        pairs = zip(self.task_ids, self.prompts.detach().cpu(), strict=True)
        found = {task_id: nearest_tokens(prompt, self.material.table, self.material.tokenizer) for task_id, prompt in pairs}
        return {"nearest_tokens": found}

    def instruction_embeddings(self) -> Tensor:
        return self.prompts.detach().cpu().mean(1)
