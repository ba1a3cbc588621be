"""Two-layer language models in float64 at a minimum of their inner problem: the hypergradient against solving it again.

The causal model minimizes L_train + ridge / 2 |theta|^2, which it is brought to. For the encoder-decoder that takes long, so the
ridge stands around a centre chosen such that the model is at the minimum from the start; solving again is the same for both.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from language_problems import double_gpt2, double_t5, problem

from instune.bilevel.hypergradient import hypergradient
from instune.bilevel.products import DoubleBackward
from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.identity import identity
from instune.bilevel.solvers.neumann import neumann
from instune.bilevel.solvers.unrolled import unrolled
from instune.bilevel.vectors import cosine, norm, plus, scaled

exactly = partial(conjugate_gradient, iterations=400, tolerance=1e-8)


def solved_gpt2():
    model = double_gpt2()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() == 2:  # away from the saddle at 0
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    found = problem(model, ridge=0.02)
    settings = {"max_iter": 1000, "max_eval": 2000, "history_size": 30, "line_search_fn": "strong_wolfe"}
    search = torch.optim.LBFGS(found.theta, tolerance_grad=1e-7, tolerance_change=1e-16, **settings)

    def evaluate():
        search.zero_grad()
        loss = found.inner()
        loss.backward()
        return loss

    search.step(evaluate)
    search.zero_grad()
    solve_again(found)
    return found


def solved_t5():
    return problem(double_t5(), ridge=5.0, at_minimum=True)


def solve_again(found) -> None:
    """Newton steps until the gradient is shorter than 1e-9."""
    for _ in range(20):
        products = DoubleBackward(found.inner, found.theta, [])
        slope = tuple(part.detach() for part in products.gradients[0])
        if norm(slope) < 1e-9:
            return
        step = conjugate_gradient(products.hessian, slope, iterations=400, tolerance=1e-4).vector
        with torch.no_grad():
            torch._foreach_sub_(found.theta, list(step))
    raise AssertionError("the inner problem is not solved")


@pytest.fixture(scope="module", params=[solved_gpt2, solved_t5])
def minimum(request):
    """A problem at its minimum, and its theta there."""
    found = request.param()
    return found, [tensor.detach().clone() for tensor in found.theta]


@pytest.fixture
def solved(minimum):
    found, theta = minimum
    with torch.no_grad():
        torch._foreach_copy_(found.theta, theta)
    assert norm(torch.autograd.grad(found.inner(), found.theta)) < 1e-8
    return found


def of(found, solve):
    return hypergradient(found.inner, found.outer, found.theta, [found.phi], products=DoubleBackward, solve=solve).gradient


def solved_outer(found, direction, length) -> float:
    """The outer loss after solving again with phi moved; phi is put back."""
    before = found.phi.detach().clone()
    with torch.no_grad():
        found.phi.add_(direction, alpha=length)
    solve_again(found)
    with torch.no_grad():
        found.phi.copy_(before)
    return found.outer().item()


def test_conjugate_gradients_equal_differences_through_solving_again(solved):
    result = of(solved, exactly)
    (direction,) = scaled(result, 1 / norm(result))
    ahead, behind = (solved_outer(solved, direction, length) for length in (1e-3, -1e-3))
    assert norm(result) > 1e-4
    assert (ahead - behind) / 2e-3 == pytest.approx(norm(result), rel=1e-3)


def test_across_the_hypergradient_the_solved_outer_loss_does_not_change(solved):
    result = of(solved, exactly)
    draw = torch.randn(solved.phi.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    across = draw - (draw * result[0]).sum() / norm(result) ** 2 * result[0]
    ahead, behind = (solved_outer(solved, across / norm([across]), length) for length in (1e-3, -1e-3))
    assert abs(ahead - behind) / 2e-3 < 1e-3 * norm(result)


def test_series_of_k_terms_equals_k_plus_one_unrolled_steps(solved):
    series = of(solved, partial(neumann, gamma=0.05, terms=3))
    exact = unrolled(solved.inner, solved.outer, solved.theta, [solved.phi], steps=4, learning_rate=0.05).gradient
    assert norm(plus(series, exact, -1.0)) <= 1e-4 * norm(exact)


def test_identity_points_the_right_way_and_a_step_along_it_lowers_the_solved_outer_loss(solved):
    cheap, exact = of(solved, partial(identity, gamma=1.0)), of(solved, exactly)
    before = solved.outer().item()
    assert 0 < cosine(cheap, exact) < 0.9999  # the curvature matters here
    assert solved_outer(solved, cheap[0] / norm(cheap), -1e-2) < before
