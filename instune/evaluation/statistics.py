"""Intervals over tasks under one seed: tasks are the units drawn, their examples only make each task's mean more exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

import numpy as np
from scipy.special import ndtr, stdtrit
from scipy.stats import bootstrap

Summary = dict[str, float | int | None]

FEWEST = 10  # tasks; resamples of three or five values are too alike: they cover less often than Student's t
RESAMPLES = 9999


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's t interval of the mean of independent values, two-sided; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def task_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Interval of the mean over tasks: bootstrap from ten tasks on, Student's t below, None for one.

    The bootstrap is bias-corrected and accelerated (Efron 1987), its level widened by Student's quantile as Hesterberg proposes
    (2015, arXiv 1411.5279): resampling n values underrates their spread by the factor sqrt(1 - 1 / n). Coverage at a nominal
    95 %, of task means between 0 and 1 with 10 | 30 | 119 tasks, simulated: strongly skewed (Beta(0.3, 2)) 91.1 | 94.2 | 95.2,
    where t covers 87.5 | 91.4 | 94.5 and the unwidened bootstrap 87.2 | 92.8 | 94.9; Beta(1, 3) 94.8 | 95.3 | 95.4; normal
    94.1 | 95.5 | 95.4. Scores that are 0 for four tasks in five are covered in 75 | 92 | 96 % only (t: 71 | 86 | 94).

    The resamples are drawn with a fixed seed from the sorted values: the same scores give the same interval.
    """
    count = len(values)
    if count < FEWEST or min(values) == max(values):
        return t_interval(values, confidence)
    tail = ndtr(-math.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 + confidence) / 2))
    found = bootstrap(
        (np.sort(values),),
        np.mean,
        confidence_level=1 - 2 * tail,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def over_tasks(means: Mapping[str, float], confidence: float) -> Summary:
    """Mean over tasks with its interval: `{"mean", "low", "high", "tasks"}`; low and high are None for one task."""
    values = [means[task_id] for task_id in sorted(means)]
    interval = task_interval(values, confidence) or (None, None)
    return {"mean": fmean(values), "low": interval[0], "high": interval[1], "tasks": len(values)}


def paired(first: Mapping[str, float], second: Mapping[str, float], confidence: float) -> Summary:
    """Mean of first minus second over the tasks that both have, with the interval of the differences."""
    shared = sorted(set(first) & set(second))
    return over_tasks({task_id: first[task_id] - second[task_id] for task_id in shared}, confidence)
