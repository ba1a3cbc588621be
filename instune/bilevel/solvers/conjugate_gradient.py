"""Conjugate gradients for H q = v: exact where the Hessian is positive definite, and a referee for the cheaper solvers."""

from __future__ import annotations

import torch

from instune.bilevel.solvers.solution import CurvatureError, Solution
from instune.bilevel.vectors import MatrixVector, Vector, dot, norm, plus, scaled


def conjugate_gradient(matvec: MatrixVector, v: Vector, *, iterations: int, tolerance: float) -> Solution:
    """The solution of H q = v, within `tolerance` of |v| or after so many iterations.

    Args:
        matvec: H times a vector, symmetric positive definite.
        v: right-hand side.
        iterations: products at most.
        tolerance: |residual| / |v| at which to stop.

    Raises:
        CurvatureError: p'Hp <= 0 for a search direction p; no step along it lowers the quadratic.
    """
    solution = tuple(torch.zeros_like(part) for part in v)
    residual = direction = v
    lengths = [norm(v)]
    for number in range(iterations):
        if lengths[-1] <= tolerance * lengths[0]:
            break
        product = matvec(direction)
        squared, curvature = dot(direction, direction), dot(direction, product)
        if curvature <= 0:
            raise CurvatureError(
                f"conjugate gradients meet negative curvature {curvature / squared:.3g} at iteration {number}.\n"
                f"  Raise optimize.damping by more than {-curvature / squared:.2g}, or use the Neumann series with few terms."
            )
        step = lengths[-1] ** 2 / curvature
        solution = plus(solution, direction, step)
        residual = plus(residual, product, -step)
        lengths.append(norm(residual))
        direction = plus(residual, direction, (lengths[-1] / lengths[-2]) ** 2)
    return Solution(scaled(solution, 1.0), tuple(lengths))
