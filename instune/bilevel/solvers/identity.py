"""The inverse Hessian taken as a multiple of the identity: no second-order product of the solver's own.

This is the first term of the Neumann series. SAMA (Choe et al. 2023, arXiv 2310.05674, section 3.1) adapts v to an inner Adam:
there the inner step is u(g), not gamma g, and v is multiplied by du/dg.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from instune.bilevel.curvature import natural_step
from instune.bilevel.solvers.solution import MatrixVector, Solution
from instune.bilevel.vectors import Vector, norm, scaled


def identity(matvec: MatrixVector, v: Vector, *, gamma: float | None) -> Solution:
    """gamma v; `matvec` is called only where gamma is None, to estimate one."""
    gamma = natural_step(matvec, v) if gamma is None else gamma
    return Solution(scaled(v, gamma), (norm(v),), gamma)


def adapted_identity(matvec: MatrixVector, v: Vector, *, slopes: Vector) -> Solution:
    """slopes * v, elementwise; `matvec` is never called.

    Args:
        slopes: du/dg of the inner optimizer, like v (`adam_slopes`).
    """
    return Solution(tuple(slope * part for slope, part in zip(slopes, v, strict=True)), (norm(v),))


def adam_slopes(adam: torch.optim.Adam, theta: Sequence[Tensor], gradient: Sequence[Tensor]) -> Vector:
    """du/dg of the Adam step that would come next with this gradient, like theta; the optimizer stays as it is.

    Args:
        adam: of one parameter group that holds theta; plain Adam or AdamW (whose decay has no part in du/dg).
    """
    (group,) = adam.param_groups
    beta1, beta2 = group["betas"]
    first, second, step = [], [], 1
    for tensor, g in zip(theta, gradient, strict=True):
        state = adam.state[tensor]
        step = int(state["step"]) + 1 if state else 1
        first.append(torch.lerp(state["exp_avg"], g, 1 - beta1) if state else (1 - beta1) * g)
        second.append(torch.lerp(state["exp_avg_sq"], g * g, 1 - beta2) if state else (1 - beta2) * g * g)
    return adam_slope(gradient, first, second, step=step, learning_rate=group["lr"], betas=(beta1, beta2), eps=group["eps"])


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
