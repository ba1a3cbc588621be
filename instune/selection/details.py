"""What the choice rests on, for the report: `data/selection_details.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instune.records import Task
from instune.selection.compared import METHODS, Compared, compare
from instune.selection.rank import UNIT
from instune.selection.rankers import Ranked, distinct
from instune.selection.settings import Select
from instune.selection.stability import leave_one_wording_out
from instune.selection.table import Embeddings
from instune.selection.wording_map import wording_map

MATCHES = 10  # chosen tasks per target whose closest wordings are kept
TARGETS, TASKS = 15, 40  # the table of scores is kept as large as it can be read


def closest_pairs(
    compared: Compared, *, tasks: Mapping[str, Task], target: str, sources: Sequence[str], chosen: Sequence[str]
) -> list[dict[str, Any]]:
    """The closest pair of wordings of the target and of each of the first chosen tasks; of equal pairs the first.

    Args:
        compared: the target's similarities.
        tasks: the pool.
        target: its id.
        sources: ids of the source tasks, sorted.
        chosen: ids of its source tasks, best first.
    """
    found, starts = [], np.searchsorted(compared.owners, np.arange(len(sources) + 1))
    for task_id in chosen[:MATCHES]:
        task = sources.index(task_id)
        block = compared.similarities[:, starts[task] : starts[task + 1]]
        row, column = np.unravel_index(block.argmax(), block.shape)
        found.append(
            {
                "task_id": task_id,
                "target_wording": tasks[target].wordings[compared.own[row]],
                "source_wording": tasks[task_id].wordings[compared.places[starts[task] + column]],
                "score": int(block[row, column]) / UNIT,
            }
        )
    return found


def score_table(ranked: Mapping[str, Ranked], chosen: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    """Scores of the chosen tasks for all targets, or of the highest of both; None where the order is drawn.

    Args:
        ranked: target -> order of the source tasks.
        chosen: target -> its source tasks.

    Returns:
        `targets`: ids, sorted, the 15 of the highest scores; `tasks`: ids of tasks chosen for one of them, the 40 of the highest
        scores, those that score highest for the first target first; `scores`: (tasks, targets); `of`: how many targets and
        chosen tasks there are.
    """
    if any(one.scores is None for one in ranked.values()):
        return None
    best = sorted(ranked, key=lambda target: (-max(ranked[target].scores), target))[:TARGETS]
    targets = sorted(best)
    scores = {target: dict(zip(ranked[target].task_ids, ranked[target].scores, strict=True)) for target in targets}
    table = {
        task_id: [scores[target][task_id] for target in targets]
        for task_id in sorted({task_id for target in targets for task_id in chosen[target]})
    }
    tasks = sorted(table, key=lambda task_id: -max(table[task_id]))[:TASKS]
    tasks.sort(key=lambda task_id: (table[task_id].index(max(table[task_id])), -max(table[task_id]), task_id))
    return {
        "targets": targets,
        "tasks": tasks,
        "scores": [[score / UNIT for score in table[task_id]] for task_id in tasks],
        "of": [len(ranked), len({task_id for task_ids in chosen.values() for task_id in task_ids})],
    }


def truncated_wordings(rows: Embeddings, tasks: Mapping[str, Task], limits: Mapping[str, int | None]) -> dict[str, list[int]]:
    """Task id -> places of its compared wordings that the encoder did not read to their end, of tasks that have any.

    Args:
        rows: vectors of wordings.
        tasks: the pool.
        limits: task id -> how many of its distinct wordings were compared, the first ones; None: all.
    """
    cut = {(rows.task_ids[row], int(rows.indices[row])) for row in np.flatnonzero(rows.truncated)}
    places = {
        task_id: [place for place in distinct(tasks[task_id].wordings, limit) if (task_id, place) in cut]
        for task_id, limit in sorted(limits.items())
    }
    return {task_id: found for task_id, found in places.items() if found}


def look_behind(
    select: Select,
    ranked: Mapping[str, Ranked],
    chosen: Mapping[str, Sequence[str]],
    *,
    tasks: Mapping[str, Task],
    sources: Sequence[str],
    rows: Embeddings,
    seed: int,
) -> dict[str, Any]:
    """How far the choice holds, and what it rests on.

    Args:
        select: the section.
        ranked: target -> order of the source tasks.
        chosen: target -> its source tasks, best first.
        tasks: the pool.
        sources: ids of the source tasks, sorted.
        rows: vectors of wordings.
        seed: of the wordings on the map.

    Returns:
        The content of `data/selection_details.json`: `matches`, target -> closest pairs, and `stability`, target -> overlap as
        `leave_one_wording_out` says, both empty where no wordings are compared; `scores`, `truncated`, `map`.
    """
    stability, matches, targets = {}, {}, list(chosen)
    if select.method in METHODS:
        for target, compared in compare(select, tasks=tasks, targets=targets, sources=sources, rows=rows):
            asked = {"tasks": tasks, "sources": sources, "chosen": chosen[target]}
            stability[target] = leave_one_wording_out(compared, select, **asked)
            matches[target] = closest_pairs(compared, target=target, **asked)
    every = select.method == "all"  # to mark them all would mark nothing
    marked = [] if every else sorted({task_id for task_ids in chosen.values() for task_id in task_ids})
    limits = dict.fromkeys(marked) | dict.fromkeys(targets, select.max_target_wordings)
    return {
        "matches": matches,
        "stability": stability,
        "scores": score_table(ranked, chosen),
        "truncated": truncated_wordings(rows, tasks, limits) if select.method == "instruction" else {},
        "map": wording_map(rows, tasks, targets=targets, chosen=marked, others=sources, seed=seed),
    }
