"""The ways to a hypergradient by name, under one signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from instune.bilevel.curvature import natural_step
from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.hypergradient import MakeProducts, hypergradient
from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.identity import adapted_identity, identity
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.solvers.solution import Hypergradient, MatrixVector, Solution, Solver, damped
from instune.bilevel.solvers.unrolled import unrolled
from instune.bilevel.vectors import Vector

SolverName = Literal["neumann", "identity", "conjugate_gradient", "unrolled"]
Method = Callable[[Loss, Loss, Sequence[Tensor], Sequence[Tensor]], Hypergradient]


@dataclass(frozen=True)
class SolverSettings:
    """What the solvers read.

    Attributes:
        products: second-order products (`products_by`); unrolling always takes double backward.
        terms: K of the series, iterations of conjugate gradients, inner steps of unrolling; the identity has none.
        gamma: step of series, identity and unrolling; None: 1 / the largest eigenvalue, estimated.
        last_gamma: such an estimate of an earlier batch, to go on with.
        damping: lambda of (H + lambda I), for the series and conjugate gradients.
        tolerance: |residual| / |v| at which conjugate gradients stop; the default is far below the noise of a batch.
        slopes: du/dg of an inner Adam, like theta; the identity then takes it in gamma's place (SAMA).
    """

    products: MakeProducts
    terms: int
    gamma: float | None = None
    last_gamma: float | None = None
    damping: float = 0.0
    tolerance: float = 1e-6
    slopes: Vector | None = None


def _neumann(settings: SolverSettings) -> Solver:
    if settings.gamma is None:
        return AdaptiveNeumann(settings.terms, settings.last_gamma)
    return partial(neumann, gamma=settings.gamma, terms=settings.terms)


def _identity(settings: SolverSettings) -> Solver:
    if settings.slopes is not None:
        return partial(adapted_identity, slopes=settings.slopes)
    return partial(identity, gamma=settings.gamma or settings.last_gamma)


def _conjugate_gradient(settings: SolverSettings) -> Solver:
    return partial(conjugate_gradient, iterations=settings.terms, tolerance=settings.tolerance)


def _implicit(make: Callable[[SolverSettings], Solver]) -> Callable[[SolverSettings], Method]:
    """A solver of (H + lambda I) q = v as a way to the hypergradient."""

    def method(settings: SolverSettings) -> Method:
        solver = make(settings)

        def solve(matvec: MatrixVector, v: Vector) -> Solution:
            return solver(damped(matvec, settings.damping), v)

        return partial(hypergradient, products=settings.products, solve=solve)

    return method


def _unrolled(settings: SolverSettings) -> Method:
    def method(inner_loss: Loss, outer_loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor]) -> Hypergradient:
        rate = settings.gamma or settings.last_gamma
        if rate is None:
            rate = natural_step(settings.products(inner_loss, theta, phi).hessian, gradient(outer_loss, theta)[1])
        return unrolled(inner_loss, outer_loss, theta, phi, steps=settings.terms, learning_rate=rate)

    return method


SOLVERS: dict[SolverName, Callable[[SolverSettings], Method]] = {
    "neumann": _implicit(_neumann),
    "identity": _implicit(_identity),
    "conjugate_gradient": _implicit(_conjugate_gradient),
    "unrolled": _unrolled,
}
"""`SOLVERS[name](settings)(inner_loss, outer_loss, theta, phi)` is the hypergradient; a solver keeps its gamma between calls."""
