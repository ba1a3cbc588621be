"""What every solver of H q = v returns, and what it raises where the curvature does not let it go on.

A solver knows nothing of models: it is a function of `matvec` (H times a vector) and `v`, with settings of its own by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from instune.bilevel.vectors import MatrixVector, Vector
from instune.errors import InputError


@dataclass(frozen=True)
class Solution:
    """An approximation of H^-1 v.

    Attributes:
        vector: q, like v.
        lengths: of what has to shrink, from |v| on: the terms of a series, or the residuals.
        gamma: step of the series, None where the solver has none.
    """

    vector: Vector
    lengths: tuple[float, ...]
    gamma: float | None = None

    @property
    def remaining(self) -> float:
        """The last length as a part of the first."""
        return self.lengths[-1] / self.lengths[0] if self.lengths[0] else 0.0


@dataclass(frozen=True)
class Hypergradient:
    """The result of one outer step.

    Attributes:
        gradient: like phi.
        outer_loss: nats per token, where v was taken.
        solution: how H q = v was solved.
    """

    gradient: Vector
    outer_loss: float
    solution: Solution


Solver = Callable[[MatrixVector, Vector], Solution]


class CurvatureError(InputError):
    """The Hessian of this batch is not what the solver needs: too steep for gamma, or not positive."""


def damped(matvec: MatrixVector, damping: float) -> MatrixVector:
    """(H + damping I) times a vector."""
    if damping == 0.0:
        return matvec
    return lambda vector: tuple(product.add(part, alpha=damping) for product, part in zip(matvec(vector), vector, strict=True))
