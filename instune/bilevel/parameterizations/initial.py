"""Where soft prompts start: four ways, all on the CPU and by seed alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from instune.bilevel.parameterizations.base import Material
from instune.prompts import stable_integer
from instune.records import Task

Initial = Literal["definition", "random", "frequent", "category"]
FREQUENT = 5000  # the vocabulary that `frequent` draws from, as prompt tuning does (Lester et al. 2021, arXiv 2104.08691, 3.1)


def initial_prompts(material: Material, task_ids: Sequence[str], *, soft_tokens: int, initial: Initial) -> Tensor:
    """Where the optimization starts, (n_task, soft_tokens, d).

    Args:
        initial: `definition`: the embeddings of the definition's first tokens, repeated where it is shorter; `random`: normal
            with the table's mean and standard deviation in every dimension; `frequent`: tokens drawn from those most frequent in
            the texts of the selected tasks; `category`: the tokens most frequent in the definitions of the task's category, so
            that its tasks start from one prompt.
    """
    table = material.table
    if initial == "random":
        shape = (len(task_ids), soft_tokens, table.shape[1])
        return table.mean(0) + torch.randn(shape, generator=torch.Generator().manual_seed(material.seed)) * table.std(0)
    starts = {"definition": _definitions, "frequent": _frequent, "category": _categories}[initial](material, task_ids)
    return torch.stack([table[torch.tensor(_repeated(ids, soft_tokens))] for ids in starts])


def _repeated(ids: Sequence[int], length: int) -> list[int]:
    return (list(ids) * -(-length // len(ids)))[:length]


def _definitions(material: Material, task_ids: Sequence[str]) -> list[list[int]]:
    return [material.ids(material.tasks[task_id].definition) for task_id in task_ids]


def _by_frequency(material: Material, texts: Iterable[str]) -> list[int]:
    counts = Counter(token for text in texts for token in material.ids(text))
    return sorted(counts, key=lambda token: (-counts[token], token))


def _texts(material: Material, task: Task) -> Iterable[str]:
    yield task.definition
    for example in material.examples[task.task_id]:
        yield from (example.input, example.references[0])


def _frequent(material: Material, task_ids: Sequence[str]) -> list[list[int]]:
    tasks = (material.tasks[task_id] for task_id in sorted(material.tasks))
    known = _by_frequency(material, (text for task in tasks for text in _texts(material, task)))[:FREQUENT]
    drawn = []
    for task_id in task_ids:
        order = list(known)
        random.Random(stable_integer(material.seed, "frequent", task_id)).shuffle(order)
        drawn.append(order)
    return drawn


def _categories(material: Material, task_ids: Sequence[str]) -> list[list[int]]:
    definitions: dict[str, list[str]] = {}
    for task_id in sorted(material.tasks):
        definitions.setdefault(material.tasks[task_id].category, []).append(material.tasks[task_id].definition)
    starts = {category: _by_frequency(material, texts) for category, texts in definitions.items()}
    return [starts[material.tasks[task_id].category] for task_id in task_ids]
