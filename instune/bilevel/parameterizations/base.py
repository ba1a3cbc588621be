"""What every parameterization of learnable instructions offers to the bilevel loop, to the report and to the artefact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.prompts import Prompt
from instune.records import Example, Task
from instune.templates import Template
from instune.tuning.rows import Shown, TrainingRow

Embed = Callable[[Tensor], Tensor]  # token ids (...) -> input embeddings (..., d)


@dataclass(frozen=True)
class Material:
    """What instructions are made from.

    Attributes:
        tasks: all selected tasks, by id.
        examples: of every task, at least one.
        table: (V, d) the base model's input embeddings, float32 on the CPU; a copy that training does not touch.
        encoder: a copy of the base model that nobody trains, where texts are read through it.
    """

    tasks: Mapping[str, Task]
    examples: Mapping[str, Sequence[Example]]
    tokenizer: PreTrainedTokenizerBase
    table: Tensor
    template: Template
    prompt: Prompt
    seed: int
    encoder: PreTrainedModel | None = None

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens of its own."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def mean_embedding(self, text: str) -> Tensor:
        """(d,) mean of the text's token embeddings, zeros where it has no token."""
        ids = self.ids(text)
        return self.table[torch.tensor(ids)].mean(0) if ids else torch.zeros(self.table.shape[1])


@dataclass(frozen=True)
class Terms:
    """What phi puts into one batch.

    Attributes:
        soft: (n, d) embeddings for each of the rows that has a place for some, in row order; a longer place is shortened to n.
        weights: (B,) factor on the loss of each row, None for 1.
    """

    soft: Sequence[Tensor] = ()
    weights: Tensor | None = None


class Parameterization(ABC):
    """Learnable parameters phi and how they enter the inner loss.

    Attributes:
        name: as in `optimize.method`.
        per_task: the tensors of phi have one row per task, so a task outside `task_ids` has none; else phi serves every task.
        phi: float32 leaves that require a gradient.
    """

    name: ClassVar[str]
    per_task: ClassVar[bool]

    def __init__(self, material: Material, task_ids: Sequence[str], initial: Sequence[Tensor], device: torch.device) -> None:
        self.material, self.task_ids = material, tuple(task_ids)
        self.place = {task_id: index for index, task_id in enumerate(self.task_ids)}
        self.phi = [tensor.to(device).clone().requires_grad_() for tensor in initial]

    @abstractmethod
    def show(self, task: Task, example: Example) -> Shown:
        """What a row of the inner level shows; it does not depend on phi's values."""

    @abstractmethod
    def terms(self, rows: Sequence[TrainingRow], part: Sequence[int], embed: Embed, *, seed: int) -> Terms:
        """What phi puts into some rows of a batch, differentiable in phi.

        Args:
            rows: the whole batch, of tasks in `task_ids`.
            part: positions of the rows that are asked about.
            embed: the model's input embeddings.
            seed: of the batch's noise: with equal seeds a row has the same noise in any part.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What finetune needs beside the tensors, as JSON."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What is kept of phi, on the CPU."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Readable facts about what was learned, by task where they differ."""

    @abstractmethod
    def instruction_embeddings(self) -> Tensor:
        """(n_task, d) one mean embedding per task's learned instruction, on the CPU, for the measures of diversity."""

    def load(self, phi: Sequence[Tensor]) -> None:
        """Set the values of phi."""
        with torch.no_grad():
            for tensor, value in zip(self.phi, phi, strict=True):
                tensor.copy_(value)

    def copy(self) -> list[Tensor]:
        """Phi's present values, on the CPU."""
        return [tensor.detach().cpu().clone() for tensor in self.phi]
