"""The text that a soft instruction is converted from: the human instruction, or another instance of the task."""

from __future__ import annotations

import random
from typing import Literal

from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.candidates import Candidate, exemplar_text
from instune.prompts import stable_integer
from instune.records import Example, Exemplar, Task

Source = Literal["definition", "instance"]


def source_ids(material: Material, task: Task, example: Example, *, source: Source, soft_tokens: int, seed: int) -> list[int]:
    """Token ids of the text for a row on this example, cut to `soft_tokens`; none where the task has no other instance.

    Args:
        source: `definition`: the same for every row of the task; `instance`: one drawn for the row, never the row's own instance
            nor one with its input: its answer would be read off.
    """
    if source == "definition":
        return material.ids(task.definition)[:soft_tokens]
    others = [Candidate(one.example_id, Exemplar(one.input, one.references[0])) for one in material.examples[task.task_id]]
    others = [one for one in others if one.may_serve(example)]
    if not others:
        return []
    drawn = random.Random(stable_integer(seed, "source", task.task_id, example.example_id)).choice(others)
    return material.ids(exemplar_text(material, drawn.exemplar, 0, follows=False))[:soft_tokens]
