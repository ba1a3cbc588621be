"""The hypergradient through a small Llama: product against product, attention, checkpointing, precision."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from language_problems import problem, tiny_llama
from torch.utils.checkpoint import checkpoint

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.products import CentralDifference, DoubleBackward
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.vectors import cosine, norm, plus
from instune.errors import InputError

GAMMA = 0.02  # under 1 / the largest eigenvalue of the tiny model
PRODUCTS = ["double_backward", "central_difference"]


def of(found, product, *, terms=1, gamma=GAMMA, difference_step=3e-3):
    solve = AdaptiveNeumann(terms) if gamma is None else partial(neumann, terms=terms, gamma=gamma)
    products = products_by(product, difference_step)
    return hypergradient(found.inner, found.outer, found.theta, [found.phi], products=products, solve=solve).gradient


def assert_close(left, right, tolerance):
    assert norm(right) > 0
    assert norm(plus(left, right, -1.0)) <= tolerance * norm(right)


@pytest.mark.parametrize("terms", [0, 1])
def test_central_difference_agrees_with_double_backward_in_float32(terms):
    found = problem(tiny_llama())
    exact, close = (of(found, product, terms=terms, gamma=None) for product in PRODUCTS)
    assert cosine(exact, close) >= 0.999
    assert 0.99 <= norm(close) / norm(exact) <= 1.01


@pytest.mark.parametrize("product", PRODUCTS)
def test_fused_attention_gives_the_hypergradient_of_eager_attention(product):
    eager, fused = (of(problem(tiny_llama(attention=attention)), product) for attention in ("eager", "sdpa"))
    assert_close(fused, eager, 1e-5 if product == "double_backward" else 1e-2)


class OnlyOnce(torch.autograd.Function):
    """A kernel whose backward pass cannot be differentiated, as those of attention packages."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.sin()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, slope):
        (x,) = context.saved_tensors
        return slope * x.cos()


def test_a_kernel_without_second_derivative_is_refused_with_the_way_out_and_works_by_differences():
    theta = torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    direction = (torch.ones_like(theta),)

    def loss():
        return (theta * OnlyOnce.apply(theta)).sum()

    with pytest.raises(InputError, match=r"product: central_difference, or .*attention: eager or sdpa"):
        DoubleBackward(loss, [theta], []).hessian(direction)
    x, (product,) = theta.detach(), CentralDifference(loss, [theta], [], step=1e-4).hessian(direction)
    assert torch.allclose(product, 2 * x.cos() - x * x.sin(), atol=1e-6)


def test_compiled_code_is_refused_for_double_backward_with_the_way_out():
    theta = torch.ones(3, requires_grad=True)
    compiled = torch.compile(lambda x: x.sin().sum(), backend="aot_eager")
    with pytest.raises(InputError, match="central_difference"):
        DoubleBackward(lambda: compiled(theta), [theta], []).hessian((torch.ones(3),))


@pytest.mark.parametrize("product", PRODUCTS)
def test_gradient_checkpointing_changes_nothing(product):
    model = tiny_llama()
    plain = of(problem(model), product)
    calls = []

    def recomputed(forward):
        def layer(*args, **kwargs):
            calls.append(1)
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)

        return layer

    for layer in model.model.layers:
        layer.forward = recomputed(layer.forward)
    again = of(problem(model), product)
    assert calls
    assert_close(again, plain, 1e-6)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_loss_in_parts_gives_the_hypergradient_of_their_sum(product):
    model = tiny_llama()
    left, right = problem(model, seed=1), problem(model, seed=2)
    phi = [left.phi, right.phi]

    def gradient(inner, outer):
        solve = partial(neumann, terms=1, gamma=GAMMA)
        return hypergradient(inner, outer, left.theta, phi, products=products_by(product, 3e-3), solve=solve).gradient

    whole = gradient(lambda: left.inner() + right.inner(), lambda: left.outer() + right.outer())
    parts = gradient(
        lambda: (part() for part in (left.inner, right.inner)), lambda: (part() for part in (left.outer, right.outer))
    )
    assert_close(parts, whole, 1e-5 if product == "double_backward" else 1e-2)


def test_inside_an_autocast_block_the_weights_cache_does_not_hide_the_perturbation():
    found = problem(tiny_llama())
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        expected = of(found, "central_difference", difference_step=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        found.inner()  # fills the cache with the weights as they are
        inside = of(found, "central_difference", difference_step=0.3)
    assert norm(expected) > 0
    assert torch.equal(inside[0], expected[0])


def test_weights_in_sixteen_bits_are_refused_for_differences_with_the_way_out():
    with pytest.raises(InputError, match=r"held in torch.bfloat16\.\n  Load the model in float32"):
        of(problem(tiny_llama().bfloat16()), "central_difference")
