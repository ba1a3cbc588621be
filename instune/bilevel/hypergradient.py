"""The gradient of the outer loss with respect to the instruction parameters, by the implicit function theorem.

With v = dL_meta/dtheta, H = d2L_train/dtheta2 and q an approximation of H^-1 v:
grad_phi = dL_meta/dphi - d/dphi <dL_train/dtheta, q>   (Lorraine et al. 2020, arXiv 1911.02590, Eq. 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.products import CentralDifference, DoubleBackward, Products
from instune.bilevel.solvers.solution import Hypergradient, Solver
from instune.bilevel.vectors import plus

Product = Literal["central_difference", "double_backward"]
MakeProducts = Callable[[Loss, Sequence[Tensor], Sequence[Tensor]], Products]


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
    """One hypergradient on fixed batches; theta and phi come out as they went in, and `.grad` too.

    In a process group of several ranks each rank gives its own part of both batches, the losses meant are the means over ranks,
    and every rank gets the same result. The model is then the bare module (or FSDP's), not one wrapped for data parallelism.

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
    value, gradients = gradient(outer_loss, [*theta, *phi])
    v, direct = gradients[: len(theta)], gradients[len(theta) :]
    second = products(inner_loss, theta, phi)
    solution = solve(second.hessian, v)
    del v, gradients  # memory for the passes of the mixed product
    indirect = second.mixed(solution.vector)
    return Hypergradient(plus(direct, indirect, -1.0), value, solution)
