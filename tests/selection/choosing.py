"""A choice among a few made tasks, with vectors in the plane."""

from __future__ import annotations

import numpy as np

from instune.records import Task
from instune.selection.choose import choose as choose_by
from instune.selection.settings import Select
from instune.selection.table import Embeddings


def choose(method, *, top_k, aggregation="vote", max_target_wordings=None, per_category_cap=None, **changes):
    select = Select(
        method=method,
        aggregation=aggregation,
        top_k=top_k,
        max_target_wordings=max_target_wordings,
        per_category_cap=per_category_cap,
        examples_per_task=None,
    )
    return choose_by(select, **{"evaluated": 1} | changes)


def pool(wordings):
    return {name: Task(name, "tiny", name, texts[0], texts) for name, texts in wordings.items()}


def rows_at(tasks, angles):
    """One unit vector in the plane per wording, at the given angle."""
    flat = [(name, index, angle) for name in tasks for index, angle in enumerate(angles[name])]
    vectors = np.array([[np.cos(angle), np.sin(angle)] for *_, angle in flat], dtype=np.float32)
    return Embeddings(
        tuple(name for name, *_ in flat),
        np.array([index for _, index, _ in flat]),
        vectors,
        np.array([angle > 1 for *_, angle in flat]),
    )


TASKS = pool({"target": ("t0",), "a": ("a0", "a1"), "b": ("b0",), "c": ("c0",), "d": ("d0",)})
ANGLES = {"target": [0.0], "a": [0.9, 0.4], "b": [0.2], "c": [1.2], "d": [0.6]}
CALL = {
    "tasks": TASKS,
    "targets": ["target"],
    "sources": ["d", "c", "b", "a"],
    "rows": rows_at(TASKS, ANGLES),
    "seed": 0,
    "aggregation": "vote",
}


def example_rows(angles):
    """Vectors of examples: task -> angle of each of its examples, from index 0."""
    flat = [(name, index, angle) for name, row in angles.items() for index, angle in enumerate(row)]
    vectors = np.array([[np.cos(angle), np.sin(angle)] for *_, angle in flat], dtype=np.float32)
    indices = np.array([index for _, index, _ in flat])
    return Embeddings(tuple(name for name, *_ in flat), indices, vectors, np.zeros(len(flat), dtype=bool))


EXAMPLES = {"target": [1.5, 0.0, 0.2], "a": [0.5, 0.7], "b": [1.4, 1.2, 1.0], "c": [0.1, 0.3]}
