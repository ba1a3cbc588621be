"""Instruction extractor: which exemplars of its task stand in a row's prompt, by probabilities over candidates.

The place of the instruction holds the embeddings of the human instruction (unless it is left out) and of every chosen exemplar:
the exemplar at a place is the sum over candidates of weight x token embeddings, where the weights are a softmax or, with a hard
choice, the most probable candidate in the forward pass and the softmax in the backward pass (straight-through).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instune.bilevel.parameterizations.base import Embed, Material, Parameterization, Terms
from instune.bilevel.parameterizations.candidates import Candidate, CandidateTable, candidates_of, exemplar_text, tabulate
from instune.errors import InputError
from instune.prompts import choose_wording, stable_integer
from instune.records import Example, Exemplar, Task
from instune.tuning.encoding import cut_text
from instune.tuning.rows import Shown, TrainingRow

Choice = Literal["hard", "soft"]


class Extractor(Parameterization):
    """What the direct and the converting extractor share.

    Args:
        exemplars: places in a prompt; a row with fewer candidates has fewer.
        candidates: instances of each task to choose from.
        max_tokens: longer ones are no candidates.
        temperature: divides the logits.
        gumbel: adds Gumbel noise to the logits, the same at every evaluation of a batch (Jang et al. 2017, arXiv 1611.01144).
        instruction: the human instruction stands in front of the exemplars; False leaves it out.
    """

    def __init__(
        self,
        material: Material,
        task_ids: Sequence[str],
        initial: Sequence[Tensor],
        device: torch.device,
        *,
        exemplars: int,
        candidates: int,
        max_tokens: int,
        choice: Choice,
        temperature: float,
        gumbel: bool,
        instruction: bool,
    ) -> None:
        if material.prompt.instruction_position == "after":
            raise InputError(
                "prompt.instruction_position: after is not allowed where exemplars are learned: they are learned in front of the "
                "input, behind the instruction. Set before, or another optimize.method."
            )
        super().__init__(material, task_ids, initial, device)
        self.exemplars, self.temperature, self.gumbel, self.instruction = exemplars, temperature, gumbel, instruction
        self.hard = choice == "hard"
        self.known: dict[str, CandidateTable] = {}
        for task_id in self.task_ids:
            found = candidates_of(material, task_id, count=candidates, max_tokens=max_tokens)
            if found:
                self.known[task_id] = tabulate(material, found, exemplars, follows=instruction)
        self.by_id = {(row.task_id, row.example_id): row for task_id in self.task_ids for row in material.examples[task_id]}

    @abstractmethod
    def logits(self, task_id: str, example: Example) -> Tensor:
        """(S, C) at the present phi."""

    def show(self, task: Task, example: Example) -> Shown:
        slots = self._slots(task.task_id, example)
        if not slots:
            return Shown()
        longest = self.known[task.task_id].lengths[:slots].max(1).values.sum()
        return Shown(soft_tokens=len(self._prefix(task, example)) + int(longest))

    def terms(self, rows: Sequence[TrainingRow], part: Sequence[int], embed: Embed, *, seed: int) -> Terms:
        soft = []
        for index in part:
            if rows[index].soft[1]:
                example = self.by_id[rows[index].task_id, rows[index].example_id]
                soft.append(self._embeddings(example, embed, stable_integer(seed, index)))
        return Terms(soft)

    def _slots(self, task_id: str, example: Example) -> int:
        return min(self.exemplars, sum(self.known[task_id].allowed(example))) if task_id in self.known else 0

    def _prefix(self, task: Task, example: Example) -> list[int]:
        """Token ids of what stands in front of the exemplars."""
        if not self.instruction:
            return []
        material = self.material
        wording = choose_wording(task, example, how=material.prompt.wording, seed=material.seed)
        return material.ids(cut_text(wording, material.tokenizer, material.prompt.max_instruction_tokens))

    def _embeddings(self, example: Example, embed: Embed, seed: int) -> Tensor:
        """(n, d) of instruction and exemplars."""
        table, device = self.known[example.task_id], self.phi[0].device
        slots = self._slots(example.task_id, example)
        logits = self.logits(example.task_id, example)[:slots]
        if self.gumbel:
            uniform = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed % 2**63))
            logits = logits - torch.log(-torch.log(uniform.clamp_min(1e-20))).to(device)
        allowed = torch.tensor(table.allowed(example), device=device)
        weights, picked = choose(logits / self.temperature, allowed, hard=self.hard)  # (S, C)
        parts = [
            embed(torch.tensor(self._prefix(self.material.tasks[example.task_id], example), dtype=torch.long, device=device))
        ]
        for slot, best in enumerate(picked):
            lengths = table.lengths[slot].to(device)
            length = int(lengths[best] if self.hard else lengths[allowed].max())
            inside = torch.arange(length, device=device) < lengths[:, None]  # (C, n): behind its end a candidate adds nothing
            tokens = embed(table.ids[slot, :, :length].to(device)) * inside[..., None]  # (C, n, d)
            parts.append(torch.einsum("c,cnd->nd", weights[slot].to(tokens.dtype), tokens))
        return torch.cat(parts)

    def ranked(self, task_id: str, probabilities: Tensor) -> list[dict[str, Any]]:
        """The task's candidates as JSON: the choice for every place first, then the others by mean probability.

        Args:
            probabilities: (S, C).
        """
        table = self.known[task_id]
        everything = torch.ones(len(table.candidates), dtype=torch.bool)
        _, picked = (
            choose(probabilities.log(), everything, hard=True) if len(table.candidates) >= len(probabilities) else ((), [])
        )
        rest = sorted(set(range(len(table.candidates))) - set(picked), key=lambda place: -float(probabilities[:, place].mean()))
        return [as_json(table.candidates[place], probabilities[:, place]) for place in [*picked, *rest]]


def text_embedding(material: Material, task_id: str, exemplars: Sequence[Exemplar], *, instruction: bool) -> Tensor:
    """(d,) mean token embedding of the definition, where it is shown, and of the exemplars."""
    text = material.tasks[task_id].definition if instruction else ""
    return material.mean_embedding(text + "".join(exemplar_text(material, one, slot) for slot, one in enumerate(exemplars)))


def choose(logits: Tensor, allowed: Tensor, *, hard: bool) -> tuple[Tensor, list[int]]:
    """Weights over candidates at every place, and the most probable candidate of each, no candidate twice.

    Args:
        logits: (S, C), temperature applied.
        allowed: (C,) at least S of them.

    Returns:
        (S, C) weights that sum to 1 at every place and are 0 for what is not allowed or stands at an earlier one; S indices.
    """
    weights, picked = [], []
    for row in logits:
        probabilities = row.masked_fill(~allowed, -torch.inf).softmax(0)
        best = int(probabilities.argmax())
        one = F.one_hot(torch.tensor(best, device=row.device), len(row))
        weights.append(one + probabilities - probabilities.detach() if hard else probabilities)
        picked.append(best)
        allowed = allowed & ~one.bool()
    return torch.stack(weights), picked


def as_json(candidate: Candidate, probabilities: Tensor) -> dict[str, Any]:
    """A candidate with its probability at every place."""
    exemplar = candidate.exemplar
    shares = [round(value, 6) for value in probabilities.tolist()]
    return {"example_id": candidate.example_id, "input": exemplar.input, "output": exemplar.output, "probability": shares}
