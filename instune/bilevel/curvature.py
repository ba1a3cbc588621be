"""The scale of the inner Hessian, and the step size that goes with it."""

from __future__ import annotations

from instune.bilevel.vectors import MatrixVector, Vector, norm, scaled

TOLERANCE = 0.05  # relative change between iterations at which the estimate is good enough for a step size
POWER_ITERATIONS = 6


def largest_eigenvalue(matvec: MatrixVector, start: Vector, *, iterations: int) -> float:
    """Estimate of the largest absolute eigenvalue by power iteration; a lower bound that rises towards it.

    Args:
        matvec: a symmetric matrix times a vector.
        start: not zero; a gradient already lies along the steep directions.
        iterations: products at most.
    """
    vector, estimate = scaled(start, 1 / norm(start)), 0.0
    for _ in range(iterations):
        vector = matvec(vector)
        before, estimate = estimate, norm(vector)
        if estimate == 0.0 or abs(estimate - before) <= TOLERANCE * estimate:
            break
        vector = scaled(vector, 1 / estimate)
    return estimate


def natural_step(matvec: MatrixVector, v: Vector) -> float:
    """1 / the largest absolute eigenvalue, estimated; 1 where there is no curvature along v.

    At this step the terms of the Neumann series neither grow nor all but repeat the first (as they do at a learning rate).
    """
    largest = largest_eigenvalue(matvec, v, iterations=POWER_ITERATIONS) if norm(v) else 0.0
    return 1 / largest if largest else 1.0
