"""Intervals over tasks: tasks are the units drawn, their examples only make each task's mean more exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from scipy.stats import t as student

Summary = dict[str, float | int | None]


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's t interval of the mean of independent values, two-sided; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = student.ppf((1 + confidence) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - float(half), fmean(values) + float(half)


def over_tasks(means: Mapping[str, float], confidence: float) -> Summary:
    """Mean over tasks with its t interval: `{"mean", "low", "high", "tasks"}`; low and high are None for one task."""
    values = [means[task_id] for task_id in sorted(means)]
    interval = t_interval(values, confidence) or (None, None)
    return {"mean": fmean(values), "low": interval[0], "high": interval[1], "tasks": len(values)}


def paired(first: Mapping[str, float], second: Mapping[str, float], confidence: float) -> Summary:
    """Mean of first minus second over the tasks that both have, with the paired t interval."""
    shared = sorted(set(first) & set(second))
    return over_tasks({task_id: first[task_id] - second[task_id] for task_id in shared}, confidence)
