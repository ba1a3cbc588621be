"""Identity, conjugate gradients and the unrolled referee against closed forms in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from instune.bilevel.hypergradient import hypergradient
from instune.bilevel.products import DoubleBackward
from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.identity import adam_slope, identity
from instune.bilevel.solvers.neumann import neumann
from instune.bilevel.solvers.solution import CurvatureError, damped
from instune.bilevel.solvers.unrolled import unrolled


def random_symmetric(size: int, lowest: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.linspace(lowest, 3.0, size, dtype=torch.float64)) @ basis.T


def times(matrix: torch.Tensor):
    return lambda vector: (matrix @ vector[0],)


def random_vector(size: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("damping", [0.0, 0.5])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_conjugate_gradients_equal_the_damped_inverse_times_the_vector(size, damping):
    matrix, v = random_symmetric(size, 0.05, seed=size), random_vector(size)
    solution = conjugate_gradient(damped(times(matrix), damping), (v,), iterations=4 * size, tolerance=1e-13)
    expected = torch.linalg.solve(matrix + damping * torch.eye(size, dtype=torch.float64), v)
    assert torch.allclose(solution.vector[0], expected, rtol=0, atol=1e-8)
    assert solution.remaining <= 1e-12


def test_conjugate_gradients_stop_at_the_tolerance_and_at_the_limit():
    matrix, v = random_symmetric(30, 0.05, seed=1), random_vector(30)
    loose = conjugate_gradient(times(matrix), (v,), iterations=100, tolerance=1e-2)
    assert loose.remaining <= 1e-2 < loose.lengths[-2] / loose.lengths[0]
    assert len(conjugate_gradient(times(matrix), (v,), iterations=3, tolerance=0.0).lengths) == 4


def test_conjugate_gradients_refuse_negative_curvature_and_damping_cures_it():
    matrix, v = random_symmetric(10, -1.0, seed=2), random_vector(10)
    with pytest.raises(CurvatureError, match="negative curvature"):
        conjugate_gradient(times(matrix), (v,), iterations=50, tolerance=1e-10)
    solution = conjugate_gradient(damped(times(matrix), 1.5), (v,), iterations=50, tolerance=1e-13)
    expected = torch.linalg.solve(matrix + 1.5 * torch.eye(10, dtype=torch.float64), v)
    assert torch.allclose(solution.vector[0], expected, atol=1e-8)


def test_identity_is_gamma_times_the_vector_and_asks_for_no_product():
    def never(vector):
        raise AssertionError

    v = random_vector(5)
    assert torch.equal(identity(never, (v,), gamma=0.3).vector[0], 0.3 * v)


@pytest.mark.parametrize("step", [1, 2, 10])
def test_adam_slope_is_the_derivative_of_adams_step(step):
    betas, eps, rate = (0.9, 0.99), 1e-3, 0.05
    gradient = random_vector(6).requires_grad_()
    before, squares = random_vector(6, seed=1), random_vector(6, seed=2).square()
    if step == 1:
        before, squares = torch.zeros_like(before), torch.zeros_like(squares)
    first = betas[0] * before + (1 - betas[0]) * gradient
    second = betas[1] * squares + (1 - betas[1]) * gradient**2
    update = rate * (first / (1 - betas[0] ** step)) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    (expected,) = torch.autograd.grad(update.sum(), gradient)
    (slope,) = adam_slope([gradient], [first], [second], step=step, learning_rate=rate, betas=betas, eps=eps)
    assert torch.allclose(slope, expected, rtol=1e-10)


def test_adam_slope_describes_the_optimizer_that_torch_runs():
    weight = random_vector(4).requires_grad_()
    adam = torch.optim.Adam([weight], lr=0.05, betas=(0.9, 0.99), eps=1e-3)
    target = random_vector(4, seed=3)

    def step_from(gradient):
        start = weight.detach().clone()
        saved = {key: value.clone() for key, value in adam.state[weight].items()} if adam.state else None
        weight.grad = gradient
        adam.step()
        after, state = weight.detach().clone(), adam.state[weight]
        facts = {key: value.clone() for key, value in state.items()}
        with torch.no_grad():
            weight.copy_(start)
        if saved:
            adam.state[weight] = saved
        return start - after, facts

    weight.grad = target
    adam.step()
    gradient = random_vector(4, seed=4)
    ahead, behind = (step_from(gradient + sign * 1e-6)[0] for sign in (1, -1))
    _, facts = step_from(gradient)
    (slope,) = adam_slope(
        [gradient],
        [facts["exp_avg"]],
        [facts["exp_avg_sq"]],
        step=int(facts["step"]),
        learning_rate=0.05,
        betas=(0.9, 0.99),
        eps=1e-3,
    )
    assert torch.allclose(slope, (ahead - behind) / 2e-6, rtol=1e-6)


@pytest.fixture
def quartic():
    """A loss with changing curvature and an outer loss that also sees phi."""
    theta = [random_vector(3, seed=11).requires_grad_(), random_vector(2, seed=12).requires_grad_()]
    phi = [random_vector(4, seed=13).requires_grad_()]
    mixing = random_symmetric(5, 0.5, seed=14)[:, :4]

    def inner(parts=theta):
        flat = torch.cat(list(parts))
        return 0.1 * (flat**4).sum() + 0.5 * (flat - mixing @ phi[0].tanh()).square().sum()

    def outer(parts=theta):
        return (torch.cat(list(parts)) - 1).square().sum() + 0.3 * phi[0].square().sum()

    return theta, phi, inner, outer


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_unrolled_equals_automatic_differentiation_through_all_steps(quartic, steps):
    theta, phi, inner, outer = quartic
    before = [tensor.detach().clone() for tensor in theta]
    result = unrolled(inner, outer, theta, phi, steps=steps, learning_rate=0.1).gradient
    assert all(torch.equal(a, b) for a, b in zip(theta, before, strict=True))
    parts = tuple(theta)
    for _ in range(steps):
        gradients = torch.autograd.grad(inner(parts), parts, create_graph=True)
        parts = tuple(part - 0.1 * gradient for part, gradient in zip(parts, gradients, strict=True))
    expected = torch.autograd.grad(outer(parts), phi)
    assert torch.allclose(result[0], expected[0], rtol=1e-12, atol=1e-12)


def test_from_a_stationary_point_the_series_equals_one_step_more_of_unrolling(quartic):
    theta, phi, inner, outer = quartic
    solve_inner(theta, inner)
    result = hypergradient(
        inner, outer, theta, phi, products=DoubleBackward, solve=partial(neumann, gamma=0.1, terms=5)
    ).gradient[0]
    expected = unrolled(inner, outer, theta, phi, steps=6, learning_rate=0.1).gradient[0]
    assert torch.allclose(result, expected, rtol=1e-8)


def test_conjugate_gradients_give_the_derivative_through_solving_again(quartic):
    theta, phi, inner, outer = quartic
    solve_inner(theta, inner)
    solve = partial(conjugate_gradient, iterations=50, tolerance=1e-14)
    result = hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=solve).gradient[0]
    for index in range(4):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                phi[0][index] += sign * 1e-5
            solve_inner(theta, inner)
            values.append(outer().item())
            with torch.no_grad():
                phi[0][index] -= sign * 1e-5
        assert result[index].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def solve_inner(theta, inner) -> None:
    """Newton steps until the gradient is below 1e-12."""
    for _ in range(50):
        gradients = torch.autograd.grad(inner(), theta)
        if max(gradient.abs().max() for gradient in gradients) < 1e-12:
            return
        products = DoubleBackward(inner, theta, [])
        step = conjugate_gradient(products.hessian, gradients, iterations=50, tolerance=1e-14).vector
        with torch.no_grad():
            for tensor, part in zip(theta, step, strict=True):
                tensor -= part
    raise AssertionError("the inner problem is not solved")
