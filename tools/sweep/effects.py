"""Main effects and interactions of a full factorial sweep, task by task and seed by seed: pure functions.

Every level of a factor is held against the factor's first level. A main effect is that difference, averaged over the levels of
the other factors; an interaction of two factors is the difference of such differences, of three the difference of those. With two
levels per factor they are the coefficients of a regression on factors coded -1/2 and 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from math import prod

import numpy as np

HIGHEST = 3  # factors in an interaction


def combined(factors: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Arm -> its level of every factor; an arm is named by its levels, the first factor's first."""
    return {"-".join(levels): levels for levels in product(*factors.values())}


def contrasts(factors: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Effect -> arm -> weight; the weights of an effect sum to zero.

    Args:
        factors: factor -> its levels, the reference first.

    Returns:
        `loss=im`, and for interactions `selection=random:loss=im`, main effects first.
    """
    found = {}
    for size in range(1, min(HIGHEST, len(factors)) + 1):
        for chosen in combinations(factors, size):
            for levels in product(*(list(factors[factor])[1:] for factor in chosen)):
                wanted = dict(zip(chosen, levels, strict=True))
                found[":".join(f"{factor}={level}" for factor, level in wanted.items())] = _weights(factors, wanted)
    return found


def _weights(factors: Mapping[str, Sequence[str]], wanted: Mapping[str, str]) -> dict[str, float]:
    def weight(factor: str, level: str) -> float:
        if factor not in wanted:
            return 1 / len(factors[factor])
        return (level == wanted[factor]) - (level == factors[factor][0])

    return {arm: prod(map(weight, factors, levels)) for arm, levels in combined(factors).items()}


def contrasted(scores: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """An effect (T, S) from every arm's scores (T, S) of T tasks under S seeds."""
    return np.sum([weight * scores[arm] for arm, weight in weights.items()], axis=0)


def described(effect: str, factors: Mapping[str, Sequence[str]]) -> str:
    """The effect in words, with what its levels are held against."""
    levels = [part.split("=") for part in effect.split(":")]
    if len(levels) > 1:
        return " × ".join(factor for factor, _ in levels) + ": together, beyond their sum"
    ((factor, level),) = levels
    return f"{factor}: {level} instead of {factors[factor][0]}"
