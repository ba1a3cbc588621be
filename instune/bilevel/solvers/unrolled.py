"""The exact derivative through K inner SGD steps: a referee for small models, with K copies of the parameters in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.products import DoubleBackward
from instune.bilevel.solvers.solution import Hypergradient, Solution
from instune.bilevel.vectors import norm, plus


def unrolled(
    inner_loss: Loss, outer_loss: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], *, steps: int, learning_rate: float
) -> Hypergradient:
    """d/dphi of L_meta(theta_K, phi), where theta_{k+1} = theta_k - learning_rate * dL_train/dtheta(theta_k, phi).

    Reverse mode by hand: the adjoint starts as dL_meta/dtheta at theta_K and goes back through one step at a time, so only one
    step's graph is alive. theta comes out as it went in.

    Returns:
        with the outer loss at theta_K, and a solution of only the length of the adjoint at theta_K and the learning rate.
    """
    before = [tensor.detach().clone() for tensor in theta]
    path = []
    try:
        for _ in range(steps):
            path.append([tensor.detach().clone() for tensor in theta])
            _, gradients = gradient(inner_loss, theta)
            _set(theta, plus(path[-1], gradients, -learning_rate))
        value, gradients = gradient(outer_loss, [*theta, *phi])
        adjoint, total = gradients[: len(theta)], gradients[len(theta) :]
        for point in reversed(path):
            _set(theta, point)
            products = DoubleBackward(inner_loss, theta, phi)
            total = plus(total, products.mixed(adjoint), -learning_rate)
            adjoint = plus(adjoint, products.hessian(adjoint), -learning_rate)
    finally:
        _set(theta, before)
    return Hypergradient(total, value, Solution((), (norm(gradients[: len(theta)]),), learning_rate))


def _set(theta: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, value in zip(theta, values, strict=True):
            tensor.copy_(value)
