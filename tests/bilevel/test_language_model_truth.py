"""A two-layer language model in float64 at a minimum of its inner problem: the hypergradient against solving it again."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from instune.bilevel.hypergradient import hypergradient
from instune.bilevel.products import DoubleBackward
from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.identity import identity
from instune.bilevel.solvers.neumann import neumann
from instune.bilevel.unrolled import unrolled
from instune.bilevel.vectors import cosine, norm, plus

RIDGE = 10.0  # above the size of the loss's negative curvature, so that the stationary point is a minimum


@pytest.fixture
def solved(double_model, new_fold):
    """theta, phi and both losses; theta minimizes L_train(theta, phi) + RIDGE / 2 |theta - centre|^2 by choice of the centre."""
    with torch.no_grad():
        for table in (double_model.transformer.wte, double_model.transformer.wpe):
            table.weight.mul_(50)  # from 0.02 to 1: where embeddings are short, layer norm makes the curvature extreme
    fold = new_fold(double_model)
    fold.phi = fold.phi.detach().double().requires_grad_()
    plain, outer = fold.inner_loss(2, 0), fold.outer_loss(2, 0)
    slope = torch.autograd.grad(plain(), fold.theta, materialize_grads=True)
    centre = [point.detach() for point in plus(fold.theta, slope, 1 / RIDGE)]

    def inner():
        pairs = zip(fold.theta, centre, strict=True)
        return plain() + RIDGE / 2 * sum((tensor - point).square().sum() for tensor, point in pairs)

    assert norm(torch.autograd.grad(inner(), fold.theta)) < 1e-8
    return fold.theta, fold.phi, inner, outer


def solve_again(theta, inner) -> None:
    """Newton steps until the gradient is shorter than 1e-10."""
    for _ in range(20):
        products = DoubleBackward(inner, theta, [])
        if norm(products.gradient) < 1e-10:
            return
        gradient = tuple(part.detach() for part in products.gradient)
        step = conjugate_gradient(products.hessian, gradient, iterations=100, tolerance=1e-8).vector
        with torch.no_grad():
            torch._foreach_sub_(list(theta), list(step))
    raise AssertionError("the inner problem is not solved")


def test_conjugate_gradients_equal_differences_through_solving_again(solved):
    theta, phi, inner, outer = solved
    solve = partial(conjugate_gradient, iterations=200, tolerance=1e-12)
    result = hypergradient(inner, outer, theta, [phi], products=DoubleBackward, solve=solve).gradient[0]
    direction, values = result / norm([result]), []
    for sign in (1, -1):
        with torch.no_grad():
            phi.add_(direction, alpha=sign * 1e-4)
        solve_again(theta, inner)
        values.append(outer().item())
        with torch.no_grad():
            phi.sub_(direction, alpha=sign * 1e-4)
    assert (values[0] - values[1]) / 2e-4 == pytest.approx(norm([result]), rel=1e-3)


def test_series_of_k_terms_equals_k_plus_one_unrolled_steps(solved):
    theta, phi, inner, outer = solved
    solve = partial(neumann, gamma=0.05, terms=3)
    series = hypergradient(inner, outer, theta, [phi], products=DoubleBackward, solve=solve).gradient
    exact = unrolled(inner, outer, theta, [phi], steps=4, learning_rate=0.05)
    assert norm(plus(series, exact, -1.0)) <= 1e-4 * norm(exact)


def test_identity_points_the_right_way_and_a_step_along_it_lowers_the_outer_loss(solved):
    theta, phi, inner, outer = solved
    cheap = hypergradient(inner, outer, theta, [phi], products=DoubleBackward, solve=partial(identity, gamma=1.0)).gradient
    solve = partial(conjugate_gradient, iterations=200, tolerance=1e-10)
    exact = hypergradient(inner, outer, theta, [phi], products=DoubleBackward, solve=solve).gradient
    before = outer().item()
    with torch.no_grad():
        phi.sub_(cheap[0], alpha=1e-3 / norm(cheap))
    solve_again(theta, inner)
    assert 0 < cosine(cheap, exact) < 0.9999  # the curvature matters here
    assert outer().item() < before
