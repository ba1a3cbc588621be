"""Exemplars of a task that an extractor may put into its prompts, and which of them a row may see."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instune.bilevel.parameterizations.base import Material
from instune.prompts import stable_integer
from instune.records import Example, Exemplar


@dataclass(frozen=True)
class Candidate:
    """An instance of the task as a worked example."""

    example_id: str
    exemplar: Exemplar

    def may_serve(self, example: Example) -> bool:
        """Whether a row on this example may show the candidate: not the instance itself nor another one with its input; of a task
        without inputs, none with its output."""
        if self.exemplar.input != example.input:
            return True
        return not example.input.strip() and self.exemplar.output not in example.references


def candidates_of(material: Material, task_id: str, *, count: int, max_tokens: int) -> list[Candidate]:
    """At most `count` instances in a seeded order, each text once, none longer than `max_tokens` as a worked example."""
    order = [example for example in material.examples[task_id] if example.messages is None]
    random.Random(stable_integer(material.seed, "candidates", task_id)).shuffle(order)
    found, seen = [], set()
    for example in order:
        exemplar = Exemplar(example.input, example.references[0])
        text = exemplar_text(material, exemplar, 0)
        if text not in seen and len(material.ids(text)) <= max_tokens:
            found.append(Candidate(example.example_id, exemplar))
            seen.add(text)
        if len(found) == count:
            break
    return found


def exemplar_text(material: Material, exemplar: Exemplar, slot: int, *, follows: bool = True) -> str:
    """The exemplar as the template lays it out at that place, with the blank line in front of it where something is there."""
    head = material.template.heads.get("examples", "") if slot == 0 else ""
    laid_out = material.template.exemplar.format(number=slot + 1, input=exemplar.input, output=exemplar.output)
    return "\n\n" * (slot > 0 or follows) + head + laid_out


@dataclass(frozen=True)
class CandidateTable:
    """A task's candidates as token ids.

    Attributes:
        ids: (S, C, L) token ids of candidate c at place s, 0 behind its end.
        lengths: (S, C).
    """

    candidates: tuple[Candidate, ...]
    ids: Tensor
    lengths: Tensor

    def allowed(self, example: Example) -> list[bool]:
        """(C,) which candidates a row on this example may see."""
        return [candidate.may_serve(example) for candidate in self.candidates]


def tabulate(material: Material, candidates: Sequence[Candidate], slots: int, *, follows: bool = True) -> CandidateTable:
    """Token ids of every candidate at every place, behind an instruction or (`follows` False) without one."""
    texts = [[exemplar_text(material, one.exemplar, slot, follows=follows) for one in candidates] for slot in range(slots)]
    rows = [[torch.tensor(material.ids(text), dtype=torch.long) for text in texts[slot]] for slot in range(slots)]
    lengths = torch.tensor([[len(ids) for ids in row] for row in rows])
    padded = torch.zeros(slots, len(candidates), int(lengths.max()), dtype=torch.long)
    for slot, row in enumerate(rows):
        for place, ids in enumerate(row):
            padded[slot, place, : len(ids)] = ids
    return CandidateTable(tuple(candidates), padded, lengths)
