"""Methods x targets: means of every arm on every category or task, and paired differences to the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from instune.evaluation.crossed import crossed, one_way
from tools.compare.experiments import Entry
from tools.sweep.summary import CONFIDENCE, Result, matrix, with_holm

Cells = dict[str, dict[str, dict[str, Any]]]  # target -> arm -> {"mean", "seeds", "minus": {interval, p_holm} or None}
BY_SEEDS = "one task: over seeds"


def targets_of(entries: Iterable[Entry]) -> dict[str, dict[str, list[str]]]:
    """`category` and `task` -> target -> its tasks; categories only where they say other than the tasks do."""
    categories: dict[str, list[str]] = {}
    for task, category in sorted(next(iter(entries)).categories.items()):
        categories.setdefault(category, []).append(task)
    tasks = {task: [task] for own in categories.values() for task in own}
    levels = {"category": dict(sorted(categories.items()))} if 1 < len(categories) < len(tasks) else {}
    return levels | {"task": dict(sorted(tasks.items()))}


def difference(values: np.ndarray) -> dict[str, Any] | None:
    """Interval of paired differences (T, S): over tasks and seeds, or over what there are several of; None for a single value."""
    if values.size < 2:
        return None
    return asdict(crossed(values, CONFIDENCE) if min(values.shape) > 1 else one_way(values, CONFIDENCE))


def cells(by_arm: Mapping[str, Mapping[int, Result]], baseline: str, metric: str, targets: Mapping[str, list[str]]) -> Cells:
    """Every arm on every target; p-values are corrected by Holm for all arms and targets together.

    Args:
        by_arm: arm -> seed -> result.
        targets: target -> its tasks.
    """
    found: Cells = {}
    differences = {}
    for target, tasks in targets.items():
        found[target] = {}
        for arm, results in by_arm.items():
            if not results:
                continue
            found[target][arm] = {"mean": float(matrix(results, "tuned", metric, tasks).mean()), "seeds": len(results)}
            shared = sorted(set(results) & set(by_arm[baseline]))
            if arm != baseline and shared:
                pair = [
                    matrix({seed: own[seed] for seed in shared}, "tuned", metric, tasks) for own in (results, by_arm[baseline])
                ]
                differences[target, arm] = difference(pair[0] - pair[1])
    corrected = with_holm({f"{target}\n{arm}": one for (target, arm), one in differences.items()})
    for target, arm in differences:
        found[target][arm]["minus"] = corrected[f"{target}\n{arm}"]
    return found
