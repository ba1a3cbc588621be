"""Source tasks and their examples by the vectors of a few examples: of their inputs, hidden states or gradients.

A target's examples that are evaluated take no part: those with an index below `evaluated` are left out. What repeats them
further on is left out of the rows before (`evaluated.without`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from instune.errors import InputError
from instune.selection.rank import check_finite, rank, similarity
from instune.selection.rankers import Ranked
from instune.selection.table import Embeddings


@dataclass(frozen=True)
class Instances:
    """Vectors of examples, by task.

    Attributes:
        rows: one row per embedded example.
        evaluated: how many examples of a target are evaluated, from the first on.
        way_out: what to change where vectors are missing.
    """

    rows: Embeddings
    evaluated: int
    way_out: str

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """Task id -> its rows, in the order of examples."""
        ids = np.array(self.rows.task_ids)
        order = np.lexsort([self.rows.indices, ids])
        names, starts = np.unique(ids[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(ids) else {}

    def compared(self, task_id: str, *, target: bool = False) -> np.ndarray:
        """The task's rows without those that are evaluated, which a target has, (n,)."""
        places = self.places.get(task_id, np.zeros(0, dtype=np.int64))
        return places[self.rows.indices[places] >= self.evaluated] if target else places

    def truncated(self, task_id: str, *, target: bool = False) -> int:
        """How many of its compared rows were not read to their end."""
        return int(self.rows.truncated[self.compared(task_id, target=target)].sum())

    def mean(self, task_id: str, *, target: bool = False) -> np.ndarray:
        """Unit mean of the task's vectors, (d,).

        Raises:
            InputError: none is there, or one is not finite.
        """
        places = self.compared(task_id, target=target)
        if not len(places):
            raise InputError(
                f"task {task_id}: has no embedded example"
                + (
                    f" beyond its first {self.evaluated}, which are evaluated and may not choose what is trained on,"
                    " nor may what repeats them"
                    if target
                    else ""
                )
                + f".\n  {self.way_out}"
            )
        vectors = self.rows.vectors[places]
        check_finite(vectors, [task_id] * len(places))
        mean = vectors.mean(axis=0, dtype=np.float64)
        return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def by_instances(targets: Sequence[str], sources: Sequence[str], instances: Instances) -> tuple[dict[str, Ranked], int]:
    """By the cosine of the mean of a task's example vectors with the target's; and how many of the sources' were truncated.

    Source tasks without vectors are left out.

    Raises:
        InputError: a target without vectors, no source task with any, or one that is not finite.
    """
    known = [task_id for task_id in sources if task_id in instances.places]
    if not known:
        raise InputError(f"none of the {len(sources)} source tasks has an embedded example.\n  {instances.way_out}")
    means, ranked = np.stack([instances.mean(task_id) for task_id in known]), {}
    for target in targets:
        ranking = rank(instances.mean(target, target=True)[None], means, np.arange(len(known)), len(known), "max")
        order = ranking.order.tolist()
        ranked[target] = Ranked(
            [known[task] for task in order],
            ranking.scores[order].tolist(),
            [[] for _ in order],
            2 * means.size,
            instances.truncated(target, target=True),
        )
    return ranked, sum(instances.truncated(task_id) for task_id in known)


def nearest_examples(chosen: Mapping[str, Sequence[str]], instances: Instances, count: int) -> dict[str, set[int]]:
    """Task id -> indices of the examples closest to the mean of a target that chose it, `count` per target; ties by index.

    Args:
        chosen: target -> source tasks.
    """
    indices: dict[str, set[int]] = {}
    for target, task_ids in chosen.items():
        mean = instances.mean(target, target=True)
        for task_id in task_ids:
            places = instances.places[task_id]
            cosines = similarity(mean[None], instances.rows.vectors[places])[0]
            best = places[np.argsort(-cosines, kind="stable")[:count]]
            indices.setdefault(task_id, set()).update(instances.rows.indices[best].tolist())
    return indices
