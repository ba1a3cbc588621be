"""Which examples of a task describe it, and the ids of all that it has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.dataset as pads

from instune.records import EXAMPLE_SCHEMA, Example


def last_examples(examples: Iterable[Example], count: int) -> dict[str, list[tuple[int, Example]]]:
    """Task id -> its last `count` examples with their indices in pool order; the first ones of a target are evaluated."""
    kept: dict[str, deque[tuple[int, Example]]] = {}
    seen: dict[str, int] = {}
    for example in examples:
        index = seen.get(example.task_id, 0)
        seen[example.task_id] = index + 1
        kept.setdefault(example.task_id, deque(maxlen=count)).append((index, example))
    return {task_id: list(rows) for task_id, rows in kept.items()}


def example_ids(path: Path, task_ids: Sequence[str]) -> dict[str, list[str]]:
    """Task id -> ids of all its examples, in pool order."""
    wanted = pads.field("task_id").isin(list(task_ids))
    table = pads.dataset(path, schema=EXAMPLE_SCHEMA).to_table(columns=["task_id", "example_id"], filter=wanted)
    ids: dict[str, list[str]] = {task_id: [] for task_id in task_ids}
    for task_id, example_id in zip(table["task_id"].to_pylist(), table["example_id"].to_pylist(), strict=True):
        ids[task_id].append(example_id)
    return ids
