"""Was the choice good? Precision, nDCG and regret of chosen source tasks, where it is known what each of them teaches.

The truth is a gain for every source task and target: how much better the target is answered after training on the task's family
than before, by NLL or by exact match. The gain of a choice is the mean over its tasks; what tasks teach together is left aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

HALF = 0.5  # a task is relevant that gives at least this share of the best task's gain

Gains = Mapping[str, float]  # source task -> gain in nats per token or in share of matches, below 0 where training harms


def gains(tasks: Mapping[str, str], base: float, families: Mapping[str, float]) -> dict[str, float]:
    """Gain of every source task for one target.

    Args:
        tasks: source task -> family.
        base: the target's NLL before training, nats per token, or any other measure of which less is better.
        families: family -> the same after training on it.
    """
    return {task: base - families[family] for task, family in tasks.items()}


def _best(truth: Gains, count: int) -> np.ndarray:
    return np.sort(np.array(list(truth.values())))[::-1][:count]


def precision(chosen: Sequence[str], truth: Gains) -> float:
    """Share of the chosen tasks that are relevant: at least half of the best gain. 0 where no task helps."""
    best = max(truth.values())
    if best <= 0 or not chosen:
        return 0.0
    return sum(truth[task] >= HALF * best for task in chosen) / len(chosen)


def ndcg(chosen: Sequence[str], truth: Gains) -> float:
    """Normalized discounted cumulative gain (Järvelin and Kekäläinen 2002), gains below 0 counted as 0; chosen best first."""
    discounts = 1 / np.log2(np.arange(len(chosen)) + 2)
    ideal = float(np.maximum(_best(truth, len(chosen)), 0) @ discounts[: len(truth)])
    return float(np.maximum([truth[task] for task in chosen], 0) @ discounts) / ideal if ideal > 0 else 0.0


def regret(chosen: Sequence[str], truth: Gains, count: int) -> float:
    """1 - mean gain of the choice / mean gain of the best `count` tasks: 0 is the best, above 1 the choice harms.

    Raises:
        ValueError: no task has a positive gain, so that there is nothing to share out.
    """
    best = float(_best(truth, count).mean())
    if best <= 0:
        raise ValueError("no source task has a positive gain for this target")
    return 1 - float(np.mean([truth[task] for task in chosen])) / best
