"""Which vectors of a target may choose: none of an example that is evaluated, nor of one that repeats it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from instune.pools.overlap import normalized
from instune.records import Example
from instune.selection.table import Embeddings


def source_row(example: Example) -> str | None:
    """The raw row that a P3 example renders, `<task>:<place>` of its id `<task>:<place>:<template>`; None of any other."""
    row, _, template = example.example_id.rpartition(":")
    rendered = example.wording_index is not None and template == str(example.wording_index)
    return row if rendered and row.startswith(f"{example.task_id}:") else None


def repeats(examples: Iterable[Example], evaluated: int) -> set[tuple[str, int]]:
    """(task id, index) of the target examples that repeat an evaluated one of any target, and are not evaluated themselves.

    One repeats another when the words of their inputs are equal (`overlap.normalized`), or when both render one raw row.

    Args:
        examples: of the target tasks, each task's in pool order.
        evaluated: how many of each are evaluated, from the first on.
    """
    seen, texts, rows, others = {}, set(), set(), []
    for example in examples:
        index = seen.get(example.task_id, 0)
        seen[example.task_id] = index + 1
        text, row = normalized(example.input), source_row(example)
        if index < evaluated:
            texts.add(text)
            rows.add(row)
        else:
            others.append((example.task_id, index, text, row))
    texts.discard("")  # says nothing: the words of a conversation may lie elsewhere
    rows.discard(None)
    return {(task_id, index) for task_id, index, text, row in others if text in texts or row in rows}


def without(rows: Embeddings, left_out: set[tuple[str, int]]) -> Embeddings:
    """The rows without those of the given (task id, index)."""
    owners = zip(rows.task_ids, rows.indices.tolist(), strict=True)
    kept = np.array([place for place, owner in enumerate(owners) if owner not in left_out], dtype=np.int64)
    return Embeddings(tuple(rows.task_ids[place] for place in kept), rows.indices[kept], rows.vectors[kept], rows.truncated[kept])
