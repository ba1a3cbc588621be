"""The inverse Hessian taken as a multiple of the identity: no second-order product of the solver's own.

This is the first term of the Neumann series. SAMA (Choe et al. 2023, arXiv 2310.05674, section 3.1) adapts v to an inner Adam:
there the inner step is u(g), not gamma g, and v is multiplied by du/dg.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from instune.bilevel.solvers.solution import Solution
from instune.bilevel.vectors import MatrixVector, Vector, norm, scaled


def identity(matvec: MatrixVector, v: Vector, *, gamma: float) -> Solution:
    """gamma v; `matvec` is never called."""
    return Solution(scaled(v, gamma), (norm(v),), gamma)


def adam_slope(
    gradient: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    *,
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
) -> Vector:
    """du/dg of one Adam step u = learning_rate * m_hat / (sqrt(s_hat) + eps), elementwise and with bias correction.

    Args:
        gradient: g of this step, not zero where `second` is.
        first, second: Adam's running means after this step.
        step: steps done, this one included.
    """
    (beta1, beta2), slopes = betas, []
    for g, m, s in zip(gradient, first, second, strict=True):
        mean, root = m / (1 - beta1**step), (s / (1 - beta2**step)).sqrt()
        of_mean = (1 - beta1) / (1 - beta1**step) / (root + eps)
        of_root = mean * (1 - beta2) / (1 - beta2**step) * g / (root * (root + eps) ** 2)
        slopes.append(learning_rate * (of_mean - of_root.nan_to_num(0.0)))
    return tuple(slopes)
