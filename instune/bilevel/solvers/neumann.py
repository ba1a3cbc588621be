"""Truncated Neumann series for the inverse Hessian (Lorraine et al. 2020, arXiv 1911.02590, algorithm 3)."""

from __future__ import annotations

import math

from instune.bilevel.curvature import natural_step
from instune.bilevel.solvers.solution import CurvatureError, Solution
from instune.bilevel.vectors import MatrixVector, Vector, norm, plus, scaled

GROWTH = 2.0  # a term this many times the first one's length: the series does not converge
HALVINGS = 3  # of an estimated gamma, before giving up


def neumann(matvec: MatrixVector, v: Vector, *, gamma: float, terms: int) -> Solution:
    """gamma * sum_{j=0..K} (I - gamma H)^j v, which tends to H^-1 v for K to infinity where 0 < gamma * eigenvalues < 2.

    Args:
        matvec: H times a vector.
        v: right-hand side.
        gamma: step, in units of 1 / eigenvalue.
        terms: K.

    Raises:
        CurvatureError: |H t| / |t| of a term proves an eigenvalue beyond 2 / gamma, or a term has grown over twice |v|.
    """
    term = total = v
    lengths = [norm(v)]
    for number in range(1, terms + 1):
        product = matvec(term)
        curvature = norm(product) / lengths[-1] if lengths[-1] else 0.0
        term = plus(term, product, -gamma)
        del product  # memory: two vectors fewer in the next pass
        total = plus(total, term)
        lengths.append(norm(term))
        if not math.isfinite(lengths[-1]):
            raise CurvatureError(
                f"the Neumann series is not finite at term {number} (gamma {gamma:.3g}): the inner loss or its gradient is not.\n"
                "  Lower optimize.inner_learning_rate, or set optimize.product: double_backward."
            )
        if gamma * curvature > 2 or lengths[-1] > GROWTH * lengths[0]:
            shown = ", ".join(f"{length:.3g}" for length in lengths)
            raise CurvatureError(
                f"the Neumann series diverges at term {number}: lengths of its terms {shown}; gamma {gamma:.3g}, "
                f"curvature seen {curvature:.3g}.\n"
                f"  Set optimize.gamma: auto, or at most {1 / curvature:.2g}, or lower optimize.terms."
            )
    del term
    return Solution(scaled(total, gamma), tuple(lengths), gamma)


class AdaptiveNeumann:
    """The series at a gamma of 1 / the largest eigenvalue, estimated on the first batch and again where a batch is steeper.

    The estimate bounds gamma from above, and negative curvature lets terms grow at any gamma: halves of it are tried next.

    Attributes:
        gamma: the present step, None before the first batch.
    """

    def __init__(self, terms: int, gamma: float | None = None) -> None:
        self.terms, self.gamma = terms, gamma

    def __call__(self, matvec: MatrixVector, v: Vector) -> Solution:
        """As `neumann`; raises only where the series diverges with the gamma estimated on this very batch and its halves."""
        if self.gamma is not None:
            try:
                return neumann(matvec, v, gamma=self.gamma, terms=self.terms)
            except CurvatureError:
                pass  # estimated anew below
        first = self.gamma = natural_step(matvec, v)
        while True:
            try:
                return neumann(matvec, v, gamma=self.gamma, terms=self.terms)
            except CurvatureError as error:
                if self.gamma <= first / 2**HALVINGS:
                    raise CurvatureError(
                        f"{str(error).splitlines()[0]}\n  gamma: auto began at {first:.3g} and was halved {HALVINGS} times. "
                        "Lower optimize.terms."
                    ) from None
                self.gamma /= 2
