"""Traps of second-order code that no other file tests: which curvature, one batch per solve, warm starts, frozen integers.

H14 (`higher` fills no `.grad` under a flag) has no counterpart: `test_loop.py` compares both optimizers' steps with gradients.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import silent
from torch import nn

from instune.bilevel import instructions
from instune.bilevel.gradients import gradient
from instune.bilevel.hypergradient import products_by
from instune.bilevel.schedule import Schedule, Solve
from instune.bilevel.vectors import norm
from instune.errors import InputError

SCHEDULE = Schedule(
    outer_steps=2,
    inner_steps=1,
    batch_size=3,
    meta_batch_size=2,
    inner_optimizer="sgd",
    inner_learning_rate=0.05,
    outer_learning_rate=0.01,
    checkpoint_every=9,
)
SOLVE = Solve(solver="neumann", product="central_difference", difference_step=3e-3, terms=2, gamma=0.02)


@pytest.mark.parametrize("product", ["double_backward", "central_difference"])
def test_curvature_is_the_losses_own_hessian_and_no_gauss_newton_matrix(product):
    """H10. Of (theta^2 - phi)^2 / 2 at theta 1/2, phi 1 the Hessian is 6 theta^2 - 2 phi = -1/2, Gauss-Newton's 4 theta^2 = 1."""
    theta = [torch.tensor([0.5], dtype=torch.float64, requires_grad=True)]
    phi = [torch.tensor([1.0], dtype=torch.float64, requires_grad=True)]
    products = products_by(product, 1e-3)(lambda: (theta[0] ** 2 - phi[0]).square().sum() / 2, theta, phi)
    one = (torch.ones(1, dtype=torch.float64),)
    assert products.hessian(one)[0].item() == pytest.approx(-0.5, abs=1e-5)
    assert products.mixed(one)[0].item() == pytest.approx(-1.0, abs=1e-5)


def test_every_product_of_a_solve_sees_one_inner_batch_and_the_descent_another(tiny_model, new_fold, tmp_path, monkeypatch):
    """H11."""
    passes, real = [], instructions.collate

    def collate(rows, **keywords):
        passes.append(tuple((row.task_id, row.example_id) for row in rows))
        return real(rows, **keywords)

    monkeypatch.setattr(instructions, "collate", collate)
    new_fold(tiny_model).optimize(replace(SCHEDULE, outer_steps=1), SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    outer, *inner, descent = passes
    assert len(inner) == 6  # two gradients for each of K = 2 Hessian products and the mixed one
    assert len(set(inner)) == 1
    assert {task_id for task_id, _ in outer}.isdisjoint(task_id for task_id, _ in inner[0])
    assert descent != inner[0]


def test_every_step_reports_how_far_the_inner_problem_is_from_stationary(tiny_model, new_fold, tmp_path):
    """H22: the implicit formula holds where this norm is 0; the loop is warm-started instead of converged."""
    fold = new_fold(tiny_model)
    before = [tensor.detach().clone() for tensor in fold.theta]
    state = fold.optimize(replace(SCHEDULE, outer_steps=1), SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    with torch.no_grad():
        for tensor, value in zip(fold.theta, before, strict=True):
            tensor.copy_(value)
    loss, slopes = gradient(fold.inner_loss(3, "descent", 0, 0), fold.theta)
    assert state.history[0]["inner_gradient_norm"] == pytest.approx(norm(slopes), rel=1e-6)
    assert state.history[0]["inner_loss"] == pytest.approx(loss, rel=1e-6)


class Int8(torch.autograd.Function):
    """x W' for a weight in 8 bits; as in libraries of quantized layers its backward has no derivative."""

    @staticmethod
    def forward(ctx, x, weight, scale):
        ctx.save_for_backward(weight, scale)
        return x @ (weight.float() * scale).T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        weight, scale = ctx.saved_tensors
        return slope @ (weight.float() * scale), None, None


def test_adapters_on_frozen_8_bit_weights_work_by_differences_and_are_refused_by_double_backward():
    """H17."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (4, 4), generator=generator, dtype=torch.int8)
    scale, rows = torch.tensor(0.01), torch.randn(6, 4, generator=generator)
    adapters = [nn.Parameter(0.3 * torch.randn(4, 4, generator=generator)) for _ in range(2)]
    phi = [torch.ones(4, requires_grad=True)]

    def loss(multiply):
        hidden = torch.tanh(multiply(rows * phi[0]) + rows * phi[0] @ adapters[0])
        return (multiply(hidden) + hidden @ adapters[1]).square().mean()

    def quantized():
        return loss(lambda x: Int8.apply(x, weight, scale))

    def plain():
        return loss(lambda x: x @ (weight.float() * scale).T)

    vector = tuple(torch.randn(4, 4, generator=generator) for _ in adapters)
    exact = products_by("double_backward", None)(plain, adapters, phi)
    expected = [*exact.hessian(vector), *exact.mixed(vector)]
    close = products_by("central_difference", 1e-2)(quantized, adapters, phi)
    for product, found in zip(expected, [*close.hessian(vector), *close.mixed(vector)], strict=True):
        assert (product - found).norm() < 1e-2 * product.norm()
    with pytest.raises(InputError, match=r"Set optimize\.product: central_difference"):
        products_by("double_backward", None)(quantized, adapters, phi)
