"""A plane on which wordings that are close in meaning lie close: the first two principal components of their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from instune.records import Task
from instune.selection.rankers import distinct
from instune.selection.table import Embeddings

POINTS = 400  # more hide each other
TEXT = 100  # characters of a wording beside its point


def drawn(wordings: Mapping[str, Sequence[int]], always: Sequence[str], seed: int, limit: int = POINTS) -> list[tuple[str, int]]:
    """Which wordings are shown: (task id, place), sorted.

    Of the tasks of `always` their first wordings, equally many of each, as many as fit, one at least; then others, drawn.

    Args:
        wordings: task id -> places of its distinct wordings, one at least.
        always: ids among them.
        limit: that many, or one of each task of `always`.
    """
    counts = [len(wordings[task_id]) for task_id in always]
    fits = (each for each in range(max(counts, default=1), 1, -1) if sum(min(each, count) for count in counts) <= limit)
    each = next(fits, 1)
    kept = [(task_id, place) for task_id in always for place in wordings[task_id][:each]]
    rest = sorted((task_id, place) for task_id in set(wordings) - set(always) for place in wordings[task_id])
    return sorted(kept + Random(f"{seed} map").sample(rest, max(0, min(len(rest), limit - len(kept)))))


def plane(vectors: np.ndarray) -> tuple[np.ndarray, list[float]] | None:
    """Coordinates on the first two principal components, (n, 2), and each one's share of the variance; None without two.

    The sign of a component is that of its largest loading.

    Args:
        vectors: (n, d).
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if min(centred.shape) < 2:
        return None
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    if sizes[1] <= 1e-6 * max(1.0, sizes[0]):
        return None
    components = components[:2]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[[0, 1], largest])[:, None]
    return centred @ components.T, (sizes[:2] ** 2 / (sizes**2).sum()).tolist()


def wording_map(
    rows: Embeddings,
    tasks: Mapping[str, Task],
    *,
    targets: Sequence[str],
    chosen: Sequence[str],
    others: Sequence[str],
    seed: int,
) -> dict[str, Any] | None:
    """Points of wordings by task and place, and how much of the variance the plane shows.

    Args:
        rows: vectors of wordings.
        tasks: the pool.
        targets: ids of the target tasks, always shown, as are the chosen ones.
        chosen: ids of the chosen tasks.
        others: ids of tasks of which some are shown.
        seed: of that draw.

    Returns:
        `points`: [{task_id, wording, text, category, kind: target | chosen | other, x, y}, ...]; `of`: number of wordings they
        were drawn from; `shares`: of the variance of the points, by component. None where no plane can be laid.
    """
    row_of = {key: row for row, key in enumerate(zip(rows.task_ids, rows.indices.tolist(), strict=True))}
    kinds = dict.fromkeys(others, "other") | dict.fromkeys(chosen, "chosen") | dict.fromkeys(targets, "target")
    known = {
        task_id: places
        for task_id in sorted(kinds)
        if (places := [place for place in distinct(tasks[task_id].wordings) if (task_id, place) in row_of])
    }
    shown = drawn(known, [task_id for task_id in known if kinds[task_id] != "other"], seed)
    found = plane(rows.vectors[[row_of[key] for key in shown]]) if shown else None
    if found is None:
        return None
    points = [
        {
            "task_id": task_id,
            "wording": place,
            "text": tasks[task_id].wordings[place][:TEXT],
            "category": tasks[task_id].category,
            "kind": kinds[task_id],
            "x": round(x, 4),
            "y": round(y, 4),
        }
        for (task_id, place), (x, y) in zip(shown, found[0].tolist(), strict=True)
    ]
    return {"points": points, "of": sum(map(len, known.values())), "shares": [round(share, 4) for share in found[1]]}
