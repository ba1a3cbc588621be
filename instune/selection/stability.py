"""How far a choice of source tasks holds when a little of what it rests on changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from instune.errors import InputError
from instune.records import Task
from instune.selection.choose import take
from instune.selection.compared import Compared
from instune.selection.rank import rank_similarities
from instune.selection.rankers import Ranked
from instune.selection.settings import Select


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of the tasks of one choice that are in the other, 0 to 1; both hold equally many, at least one."""
    return len(set(one) & set(other)) / len(one)


def leave_one_wording_out(
    compared: Compared, select: Select, *, tasks: Mapping[str, Task], sources: Sequence[str], chosen: Sequence[str]
) -> dict[str, float] | None:
    """Overlap of the chosen tasks with those chosen without one of the target's wordings.

    Args:
        compared: the target's similarities.
        select: the section that `chosen` was chosen by.
        tasks: the pool.
        sources: ids of the source tasks, sorted.
        chosen: the target's choice by all of its wordings.

    Returns:
        `mean` and `min` over the wording left out, 0 to 1; None of a target with one wording.
    """
    count = len(compared.own)
    if count < 2:
        return None
    shares = []
    for left_out in range(count):
        rows = np.delete(compared.similarities, left_out, axis=0)
        order = rank_similarities(
            [rows], compared.owners, len(sources), select.aggregation, only_positive=select.method == "bm25"
        ).order
        ranked = Ranked([sources[task] for task in order], None, [])
        places, _ = take(ranked, tasks, select.top_k, select.per_category_cap)
        shares.append(overlap(chosen, [ranked.task_ids[place] for place in places]))
    return {"mean": round(fmean(shares), 6), "min": round(min(shares), 6)}


def mean_pairwise_overlap(selections: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Target -> mean overlap over all pairs of selections, as of the seeds of a sweep.

    Args:
        selections: contents of `data/selection.json`, two or more.

    Raises:
        InputError: they have other targets, or chose another number of tasks.
    """
    if len(selections) < 2:
        raise InputError(f"{len(selections)} selection(s): two or more are needed to overlap.")
    chosen = [
        {target: [choice["task_id"] for choice in choices] for target, choices in selection["targets"].items()}
        for selection in selections
    ]
    sizes = [{target: len(task_ids) for target, task_ids in one.items()} for one in chosen]
    for number, other in enumerate(sizes[1:], start=2):
        if other != sizes[0]:
            raise InputError(
                f"selection {number} and selection 1 have other targets, or another number of tasks chosen for one.\n"
                "  Compare selections that differ in seed alone, with the same targets and select.top_k."
            )
    return {
        target: fmean(overlap(one[target], other[target]) for one, other in combinations(chosen, 2))
        for target in sorted(chosen[0])
    }
