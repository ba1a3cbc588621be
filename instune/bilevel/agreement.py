"""How far an approximate hypergradient is from the exact one, beside how far two batches' exact ones are from each other.

An error counts only where it is not small beside the sampling noise. Exact is: the same solver at the same gamma, by double
backward in float32. It costs a graph of the gradient's gradient: several times the memory of a plain pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

import torch
from torch import Tensor

from instune.bilevel.gradients import Loss
from instune.bilevel.hypergradient import products_by
from instune.bilevel.solvers.named import SOLVERS, SolverName, SolverSettings
from instune.bilevel.vectors import Vector, cosine, norm


@dataclass(frozen=True)
class Batches:
    """Both levels' losses on fixed batches, as the run computes them and with matrix products in float32."""

    inner: Loss
    outer: Loss
    exact_inner: Loss
    exact_outer: Loss


@dataclass(frozen=True)
class Agreement:
    """Over several batches.

    Attributes:
        cosines, ratios: of every batch, cosine and ratio of norms of the approximate hypergradient to the exact one.
        between: cosine of the exact hypergradients of every pair of batches.
        gamma: step of the solver on the last batch, None where it has none.
    """

    cosines: tuple[float, ...]
    ratios: tuple[float, ...]
    between: tuple[float, ...]
    gamma: float | None

    def __str__(self) -> str:
        noise = f"; of two batches' exact ones {mean(self.between):.4f}" if self.between else ""
        return (
            f"hypergradient against float32 double backward: cosine {min(self.cosines):.5f}, "
            f"norm ratio {mean(self.ratios):.4f}{noise}"
        )


@contextmanager
def full_precision() -> Iterator[None]:
    """Matrix products of float32 without TF32 or bfloat16 inside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def exact_hypergradient(
    batches: Batches, theta: Sequence[Tensor], phi: Sequence[Tensor], *, solver: SolverName, settings: SolverSettings
) -> Vector:
    """By double backward in float32; a gamma must be given."""
    exact = dataclasses.replace(settings, products=products_by("double_backward", None))
    with full_precision():
        return SOLVERS[solver](exact)(batches.exact_inner, batches.exact_outer, theta, phi).gradient


def measure_agreement(
    drawn: Sequence[Batches], theta: Sequence[Tensor], phi: Sequence[Tensor], *, solver: SolverName, settings: SolverSettings
) -> Agreement:
    """Both hypergradients on every batch: two batches are enough for a run's log, and cost about a dozen plain passes each.

    Where gamma is to be estimated, the approximation's estimate serves both.

    Raises:
        InputError: the model has an operation that cannot be differentiated twice.
    """
    approximate, exact, gamma = [], [], settings.gamma
    for batches in drawn:
        found = SOLVERS[solver](settings)(batches.inner, batches.outer, theta, phi)
        gamma = found.solution.gamma
        approximate.append(found.gradient)
        exact.append(exact_hypergradient(batches, theta, phi, solver=solver, settings=dataclasses.replace(settings, gamma=gamma)))
    return compared(approximate, exact, gamma)


def compared(approximate: Sequence[Vector], exact: Sequence[Vector], gamma: float | None) -> Agreement:
    """The agreement of hypergradients that are there already, one of each per batch."""
    pairs = list(zip(approximate, exact, strict=True))
    return Agreement(
        tuple(cosine(close, true) for close, true in pairs),
        tuple(norm(close) / norm(true) if norm(true) else float(norm(close) == 0) for close, true in pairs),
        tuple(cosine(left, right) for left, right in combinations(exact, 2)),
        gamma,
    )
