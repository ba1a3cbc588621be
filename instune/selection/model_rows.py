"""Vectors of examples by the base model, task by task, kept in the cache.

The rows of one task are computed together and with nothing else: their vectors depend on them alone, bit for bit, whatever other
tasks there are and whatever the cache knew before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from instune.errors import InputError
from instune.records import Example
from instune.selection.cache import EmbeddingCache
from instune.selection.table import Embeddings
from instune.tuning.rows import Counts, RowBuilder, TrainingRow

Groups = Sequence[Sequence[TrainingRow]]
Advance = Callable[[int], None]  # told of tokens done


@dataclass(frozen=True)
class TaskRows:
    """What a task's examples became.

    Attributes:
        indices: places of the examples among the task's, in pool order.
        rows: tokens and labels of each, as training sees them.
        truncated: whether an instruction or input was cut.
    """

    task_id: str
    indices: list[int]
    rows: list[TrainingRow]
    truncated: list[bool]

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def labels(self) -> int:
        """Tokens of the outputs."""
        return sum(weight > 0 for row in self.rows for weight in row.loss_weights)


def build(examples: Mapping[str, Sequence[tuple[int, Example]]], builder: RowBuilder) -> tuple[list[TaskRows], Counter[str]]:
    """Rows of every task that has any, by task id, and why examples were dropped."""
    groups, dropped = [], Counter()
    for task_id in sorted(examples):
        group = TaskRows(task_id, [], [], [])
        for index, example in examples[task_id]:
            row = builder.build(example, counts := Counts())
            dropped.update(counts.dropped)
            if row is not None:
                group.indices.append(index)
                group.rows.append(row)
                group.truncated.append(bool(counts.truncated))
        if group.rows:
            groups.append(group)
    return groups, dropped


def _key(group: TaskRows) -> str:
    return json.dumps([[row.input_ids, row.labels] for row in group.rows])


def vectors(
    groups: Sequence[TaskRows],
    compute: Callable[[Groups, Advance], list[np.ndarray]],
    cache: EmbeddingCache,
    *,
    kind: str,
    rows_at_once: int,
) -> tuple[Embeddings, int]:
    """The vectors of all rows, and how many of them were computed now.

    Args:
        compute: float32 unit vectors (n_i, d) of each group of rows.
        kind: named in progress and errors.
        rows_at_once: rows between two writes to the cache, and in one call of `compute`, unless one task has more.

    Raises:
        InputError: a vector is not finite.
    """
    keys = [_key(group) for group in groups]
    known = cache.get(sorted(set(keys)))
    new = [(key, group) for key, group in zip(keys, groups, strict=True) if key not in known]
    with tqdm(total=sum(group.tokens for _, group in new), desc=kind, unit="token", disable=not new) as progress:
        for chunk in _chunks(new, rows_at_once):
            computed = compute([group.rows for _, group in chunk], progress.update)
            for (_, group), values in zip(chunk, computed, strict=True):
                if not np.isfinite(values).all():
                    raise InputError(
                        f"task {group.task_id}: its {kind} holds NaN or infinity. Set embed_model.precision: float32."
                    )
            fresh = {key: values.reshape(-1) for (key, _), values in zip(chunk, computed, strict=True)}
            cache.put(fresh)
            known.update(fresh)
    parts = [known[key].reshape(len(group.rows), -1) for key, group in zip(keys, groups, strict=True)]
    table = Embeddings(
        tuple(group.task_id for group in groups for _ in group.rows),
        np.array([index for group in groups for index in group.indices], dtype=np.int64),
        np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32),
        np.array([cut for group in groups for cut in group.truncated], dtype=bool),
    )
    return table, sum(len(group.rows) for _, group in new)


def _chunks(groups: Sequence[tuple[str, TaskRows]], rows: int) -> list[list[tuple[str, TaskRows]]]:
    """Runs of groups with at most that many rows together; a larger group stands alone."""
    chunks: list[list[tuple[str, TaskRows]]] = []
    size = 0
    for key, group in groups:
        if not chunks or size + len(group.rows) > rows:
            chunks.append([])
            size = 0
        chunks[-1].append((key, group))
        size += len(group.rows)
    return chunks
