"""Truncated Neumann series for the inverse Hessian (Lorraine et al. 2020, arXiv 1911.02590, algorithm 3)."""

from __future__ import annotations

import math

from instune.bilevel.curvature import natural_step
from instune.bilevel.solvers.solution import CurvatureError, Solution
from instune.bilevel.vectors import MatrixVector, Vector, norm, plus, scaled
from instune.errors import InputError

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
        InputError: v or a term is not finite.
    """
    term = total = v
    lengths = [_finite(norm(v), 0, gamma)]
    for number in range(1, terms + 1):
        product = matvec(term)
        curvature = norm(product) / lengths[-1] if lengths[-1] else 0.0
        term = plus(term, product, -gamma)
        del product  # memory: two vectors fewer in the next pass
        total = plus(total, term)
        lengths.append(_finite(norm(term), number, gamma))
        if gamma * curvature > 2 or lengths[-1] > GROWTH * lengths[0]:
            shown = ", ".join(f"{length:.3g}" for length in lengths)
            raise CurvatureError(
                f"the Neumann series diverges at term {number}: lengths of its terms {shown}; gamma {gamma:.3g}, "
                f"curvature seen {curvature:.3g}.\n"
                f"  Set optimize.gamma: auto, or at most {1 / curvature:.2g}, or lower optimize.terms."
            )
    del term
    return Solution(scaled(total, gamma), tuple(lengths), gamma)


def _finite(length: float, number: int, gamma: float) -> float:
    """The length of a term, refused where no other gamma could help."""
    if not math.isfinite(length):
        what = "inner" if number else "outer"
        raise InputError(
            f"optimize_instructions: the Neumann series is not finite at term {number} (gamma {gamma:.3g}): the {what} loss's\n"
            "  gradient is not. Lower optimize.inner_learning_rate, outer_learning_rate, and gamma where it is a number, or set\n"
            "  optimize.product: double_backward."
        )
    return length


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
