"""The gradient of the outer loss with respect to the instruction parameters, by the implicit function theorem.

With v = dL_meta/dtheta, H = d2L_train/dtheta2 and q an approximation of H^-1 v:
grad_phi = dL_meta/dphi - d/dphi <dL_train/dtheta, q>   (Lorraine et al. 2020, arXiv 1911.02590, Eq. 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from instune.bilevel.products import CentralDifference, DoubleBackward, Loss, Products
from instune.bilevel.solvers.solution import Solution, Solver
from instune.bilevel.vectors import Vector, plus

Product = Literal["central_difference", "double_backward"]
MakeProducts = Callable[[Loss, Sequence[Tensor], Sequence[Tensor]], Products]


@dataclass(frozen=True)
class Hypergradient:
    """The result of one outer step.

    Attributes:
        gradient: like phi.
        outer_loss: nats per token at the present theta and phi.
        solution: how H q = v was solved.
    """

    gradient: Vector
    outer_loss: float
    solution: Solution


def products_by(product: Product, step: float | None) -> MakeProducts:
    """The constructor of second-order products by name; only central differences have a step."""
    if product == "double_backward":
        return DoubleBackward
    return lambda loss, theta, phi: CentralDifference(loss, theta, phi, step=step)


def hypergradient(
    inner_loss: Loss,
    outer_loss: Loss,
    theta: Sequence[Tensor],
    phi: Sequence[Tensor],
    *,
    products: MakeProducts,
    solve: Solver,
) -> Hypergradient:
    """One hypergradient on fixed batches; theta and phi come out as they went in, and no `.grad` is written.

    Args:
        inner_loss: L_train(theta, phi), the same function at every call.
        outer_loss: L_meta(theta) or L_meta(theta, phi).
        theta: the model's trainable tensors.
        phi: the instruction parameters.
        products: how second-order products are formed (`products_by`).
        solve: how H q = v is solved (`instune/bilevel/solvers/`).

    Raises:
        CurvatureError: the solver cannot work on this Hessian.
    """
    loss = outer_loss()
    gradients = torch.autograd.grad(loss, [*theta, *phi], materialize_grads=True)
    v, direct = gradients[: len(theta)], gradients[len(theta) :]
    second = products(inner_loss, theta, phi)
    solution = solve(second.hessian, v)
    indirect = second.mixed(solution.vector)
    return Hypergradient(plus(direct, indirect, -1.0), loss.item(), solution)
