"""The hypergradient on problems with a known answer, in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.products import CentralDifference, DoubleBackward
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.solvers.solution import CurvatureError

PRODUCTS = {"double_backward": products_by("double_backward", 1.0), "central_difference": products_by("central_difference", 1e-3)}


@pytest.fixture
def quadratic():
    """L_train = 1/2 theta'A theta - theta'B phi, L_meta = 1/2 |theta - c|^2 + d'phi, with theta in two tensors."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    root = draw(5, 5)
    matrix, mixed, centre, slope = root @ root.T / 5 + torch.eye(5), draw(5, 3), draw(5), draw(3)
    theta = [draw(2).requires_grad_(), draw(3).requires_grad_()]
    phi = [draw(3).requires_grad_()]

    def inner():
        flat = torch.cat(theta)
        return 0.5 * flat @ matrix @ flat - flat @ mixed @ phi[0]

    def outer():
        return 0.5 * (torch.cat(theta) - centre).square().sum() + slope @ phi[0]

    return matrix, mixed, centre, slope, theta, phi, inner, outer


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("terms", [0, 1, 5, 40])
def test_quadratic_equals_the_truncated_sum(quadratic, product, terms):
    matrix, mixed, centre, slope, theta, phi, inner, outer = quadratic
    gamma = 0.4 / torch.linalg.eigvalsh(matrix).max().item()
    v = torch.cat(theta).detach() - centre
    contraction = torch.eye(5, dtype=torch.float64) - gamma * matrix
    q = gamma * sum(torch.linalg.matrix_power(contraction, j) for j in range(terms + 1)) @ v
    expected = slope + mixed.T @ q  # the mixed derivative of L_train is -B, the formula subtracts it
    result = hypergradient(inner, outer, theta, phi, products=PRODUCTS[product], solve=partial(neumann, terms=terms, gamma=gamma))
    assert torch.allclose(result.gradient[0], expected, rtol=0, atol=1e-8)


def test_at_the_solution_a_long_series_is_the_derivative_through_solving_again(quadratic):
    matrix, mixed, centre, slope, theta, phi, inner, outer = quadratic
    solution = torch.linalg.solve(matrix, mixed @ phi[0].detach())
    with torch.no_grad():
        theta[0].copy_(solution[:2])
        theta[1].copy_(solution[2:])
    inverse = torch.linalg.solve(matrix, mixed)
    expected = slope + inverse.T @ (solution - centre)
    gamma = 1 / torch.linalg.eigvalsh(matrix).max().item()
    result = hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=partial(neumann, terms=400, gamma=gamma))
    assert torch.allclose(result.gradient[0], expected, atol=1e-8)


def test_a_step_against_the_hypergradient_lowers_the_outer_loss_after_solving_again(quadratic):
    matrix, mixed, centre, slope, theta, phi, inner, outer = quadratic

    def solved_outer(instruction):
        solution = torch.linalg.solve(matrix, mixed @ instruction)
        return 0.5 * (solution - centre).square().sum() + slope @ instruction

    solution = torch.linalg.solve(matrix, mixed @ phi[0].detach())
    with torch.no_grad():
        theta[0].copy_(solution[:2])
        theta[1].copy_(solution[2:])
    result = hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=partial(neumann, terms=0, gamma=0.1))
    start = phi[0].detach()
    assert solved_outer(start - 1e-3 * result.gradient[0]) < solved_outer(start)


def test_gamma_none_is_one_over_the_largest_eigenvalue(quadratic):
    matrix, *_, theta, phi, inner, outer = quadratic
    result = hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=AdaptiveNeumann(1))
    assert result.solution.gamma == pytest.approx(1 / torch.linalg.eigvalsh(matrix).max().item(), rel=0.1)


def test_divergence_is_raised_or_adapted_to_as_asked(quadratic):
    matrix, *_, theta, phi, inner, outer = quadratic
    too_large = 3 / torch.linalg.eigvalsh(matrix).max().item()
    with pytest.raises(CurvatureError):
        hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=partial(neumann, terms=30, gamma=too_large))
    adapted = hypergradient(inner, outer, theta, phi, products=DoubleBackward, solve=AdaptiveNeumann(30, too_large))
    assert adapted.solution.gamma < 2 / torch.linalg.eigvalsh(matrix).max().item()


def test_reference_toy_moves_the_instruction_from_three_to_one():
    """The toy of github.com/misonuma/instopt: L_train = (w - a)^2, L_meta = (w - 1)^2, from w = -10, a = 3."""
    w = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

    def inner():
        return (w - a) ** 2

    def outer():
        return (w - 1) ** 2

    for step in range(3000):
        if step % 100 == 99:
            result = hypergradient(inner, outer, [w], [a], products=DoubleBackward, solve=partial(neumann, terms=5, gamma=0.4))
            with torch.no_grad():
                a -= 0.1 * result.gradient[0]
        (slope,) = torch.autograd.grad(inner(), [w])
        with torch.no_grad():
            w -= 0.1 * slope
    assert a.item() == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize("make", PRODUCTS.values(), ids=PRODUCTS)
def test_unused_tensors_have_zero_products(make):
    used = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    unused = torch.ones(3, dtype=torch.float64, requires_grad=True)
    phi = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    products = make(lambda: sum(used.square()), [used, unused], [phi])
    vector = (torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    first, second = products.hessian(vector)
    assert torch.allclose(first, torch.full_like(first, 2.0), atol=1e-8)
    assert torch.equal(second, torch.zeros_like(second))
    assert torch.equal(products.mixed(vector)[0], torch.zeros_like(phi))


def test_central_difference_puts_parameters_back_also_after_an_error():
    theta = torch.randn(50, generator=torch.Generator().manual_seed(1)).requires_grad_()
    before, calls = theta.detach().clone(), []

    def loss():
        calls.append(1)
        if len(calls) == 2:
            raise FloatingPointError("stop")
        return theta.sin().sum()

    products = CentralDifference(loss, [theta], [], step=0.01)
    with pytest.raises(FloatingPointError):
        products.hessian((torch.ones(50),))
    assert torch.equal(theta, before)
