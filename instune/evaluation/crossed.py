"""Intervals and tests when every task is scored under every seed: both are samples, and both vary.

Model: score of task t under seed s = mean + task effect + seed effect + rest. The variance of the grand mean is estimated from
the mean squares of the two-way layout, (MS_task + MS_seed - MS_rest) / (tasks x seeds). A t interval over tasks alone takes the
seeds for fixed and covers far too seldom once seeds move all tasks together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from instune.evaluation.statistics import resampled, task_interval, task_p_value

SMALLEST_P = 1e-12
POWER = 0.8  # of the smallest effect


@dataclass(frozen=True)
class Crossed:
    """Mean over tasks and seeds with its uncertainty.

    Attributes:
        p_value: two-sided, of a mean of zero: the level at which the interval just reaches zero, at least 1e-12.
        smallest_effect: the true mean that a test at this confidence would find four times out of five.
    """

    mean: float
    low: float
    high: float
    p_value: float
    smallest_effect: float
    tasks: int
    seeds: int


def mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares of tasks, seeds and rest of scores (..., T, S); each (...)."""
    tasks, seeds = values.shape[-2:]
    of_task, of_seed = values.mean(-1), values.mean(-2)
    rest = values - of_task[..., :, None] - of_seed[..., None, :] + values.mean((-2, -1))[..., None, None]
    return (
        seeds * of_task.var(-1, ddof=1),
        tasks * of_seed.var(-1, ddof=1),
        (rest**2).sum((-2, -1)) / ((tasks - 1) * (seeds - 1)),
    )


def half_width(values: np.ndarray, confidence: float) -> np.ndarray:
    """Half the interval of the mean of scores (..., T, S); (...).

    Halfway between two approximations for MS_task + MS_seed - MS_rest. Satterthwaite's: one t quantile, its degrees of freedom
    matched to the sum, no fewer than the smaller of the two counts; alone it covers 92 % with three seeds that vary as much as
    tasks. Banerjee's: each mean square with its own quantile; alone it covers up to 98 %. The mean of the two at 95 % covers, in
    simulations over all ratios of the three variances, 92.9 to 97.2 % with 3 seeds, 93.6 to 96.4 % with 5 and 94 to 96.2 % with
    10; 0.75 and a twentieth were chosen there. Below a twentieth, scores whose means happen to agree would leave no width.
    """
    quantile, free = (1 + confidence) / 2, (values.shape[-2] - 1, values.shape[-1] - 1)
    task, seed, rest = mean_squares(values)
    total = np.maximum(task + seed - rest, np.maximum(task, rest) / 20)
    squares = task**2 / free[0] + seed**2 / free[1] + rest**2 / (free[0] * free[1])
    matched = np.maximum(total**2 / np.where(squares > 0, squares, 1.0), min(free))
    satterthwaite = stdtrit(matched, quantile) * np.sqrt(total)
    own = [stdtrit(degrees, quantile) ** 2 for degrees in free]
    banerjee = np.sqrt(own[0] * task + own[1] * np.maximum(seed - 0.75 * rest, 0.0))
    return (satterthwaite + banerjee) / 2 / math.sqrt(values.shape[-2] * values.shape[-1])


def smallest_effect(values: np.ndarray, confidence: float) -> float:
    """The true mean that a test of scores (T, S) as variable as these would find with a probability of 80 %.

    The test finds what lies beyond t_(1 - alpha / 2) standard errors; 80 % of the estimates lie above the true mean less
    t_0.8 standard errors. So (t_(1 - alpha / 2) + t_0.8) standard errors, both terms as `half_width` has them. Of three or
    five seeds that vary as much as tasks do the standard error is itself so uncertain that it is found in 69 or 72 % only.
    """
    return float(half_width(values, confidence)) + float(half_width(values, 2 * POWER - 1))


def crossed(values: np.ndarray, confidence: float) -> Crossed:
    """The mean of scores, or of paired differences of scores, (T, S) of T tasks under S seeds.

    Raises:
        ValueError: fewer than two tasks or two seeds, or a value that is not finite.
    """
    if min(values.shape) < 2 or values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"expected finite scores of at least two tasks under at least two seeds, got shape {values.shape}")
    mean, half = float(values.mean()), float(half_width(values, confidence))
    if half == 0:
        p_value = SMALLEST_P if mean else 1.0
    elif half_width(values, 1 - SMALLEST_P) < abs(mean):
        p_value = SMALLEST_P
    else:
        p_value = brentq(lambda level: half_width(values, 1 - level) - abs(mean), SMALLEST_P, 1.0)
    return Crossed(mean, mean - half, mean + half, float(p_value), smallest_effect(values, confidence), *values.shape)


def one_way(values: np.ndarray, confidence: float) -> Crossed:
    """As `crossed`, of T tasks under one seed, (T, 1), or of one task under S seeds, (1, S).

    What there is one of counts as fixed: nothing is said about other seeds, or about other tasks. Student's t; of ten tasks and
    more the bootstrap of `task_interval`, and the smallest effect is Student's all the same.

    Raises:
        ValueError: a single value, both tasks and seeds in the plural, or a value that is not finite.
    """
    if min(values.shape) != 1 or values.size < 2 or not np.isfinite(values).all():
        raise ValueError(f"expected finite scores of tasks under one seed or of one task under seeds, got shape {values.shape}")
    free, mean = values.size - 1, float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    half = float(stdtrit(free, (1 + confidence) / 2)) * error
    distance = abs(mean) / error if error else math.inf if mean else 0.0
    p_value = max(2 * float(stdtr(free, -distance)), SMALLEST_P)
    smallest = half + float(stdtrit(free, POWER)) * error
    low, high, own = mean - half, mean + half, values.ravel().tolist()
    if values.shape[1] == 1 and resampled(own) and (ends := task_interval(own, confidence)):
        low, high, p_value = *ends, task_p_value(own)
    return Crossed(mean, low, high, p_value, smallest, *values.shape)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected by Holm (1979) for as many comparisons as there are, by name; the greatest so far, at most 1."""
    corrected, greatest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        greatest = max(greatest, min((len(p_values) - rank) * p_values[name], 1.0))
        corrected[name] = float(greatest)
    return corrected
