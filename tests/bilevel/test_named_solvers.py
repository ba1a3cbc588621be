"""Every solver of the dictionary against its own closed form, on random quadratics in float64."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from instune.bilevel.hypergradient import products_by
from instune.bilevel.solvers.identity import adam_slopes
from instune.bilevel.solvers.named import SOLVERS, SolverName, SolverSettings

PRODUCTS = {
    "double_backward": products_by("double_backward", None),
    "central_difference": products_by("central_difference", 1e-2),
}


class Quadratic:
    """L_train = 1/2 theta'H theta - theta'B phi, L_meta = 1/2 |theta - c|^2 + d'phi, eigenvalues of H from 0.2 to 3."""

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(size)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        basis, _ = torch.linalg.qr(draw(size, size))
        self.hessian = basis @ torch.diag(torch.linspace(0.2, 3.0, size, dtype=torch.float64)) @ basis.T
        self.mixed, self.centre, self.slope = draw(size, 4), draw(size), draw(4)
        self.theta, self.phi = draw(size).requires_grad_(), draw(4).requires_grad_()
        self.v = self.theta.detach() - self.centre

    def inner(self):
        return 0.5 * self.theta @ self.hessian @ self.theta - self.theta @ self.mixed @ self.phi

    def outer(self):
        return 0.5 * (self.theta - self.centre).square().sum() + self.slope @ self.phi

    def by(self, name, **settings):
        settings = {"products": PRODUCTS["double_backward"], "terms": 3} | settings
        return SOLVERS[name](SolverSettings(**settings))(self.inner, self.outer, [self.theta], [self.phi])

    def from_q(self, q):
        """The hypergradient that belongs to a solution; the mixed derivative of L_train is -B."""
        return self.slope + self.mixed.T @ q

    def truncated(self, gamma, terms, damping=0.0):
        unit = torch.eye(len(self.v), dtype=torch.float64)
        contraction = unit - gamma * (self.hessian + damping * unit)
        return gamma * sum(torch.linalg.matrix_power(contraction, power) for power in range(terms + 1)) @ self.v

    def damped_inverse(self, damping):
        return torch.linalg.solve(self.hessian + damping * torch.eye(len(self.v), dtype=torch.float64), self.v)

    def unrolled(self, gamma, steps):
        """d/dphi of L_meta after gradient steps, each theta <- theta - gamma (H theta - B phi)."""
        theta, total = self.theta.detach(), self.slope.clone()
        for _ in range(steps):
            theta = theta - gamma * (self.hessian @ theta - self.mixed @ self.phi.detach())
        adjoint = theta - self.centre
        for _ in range(steps):
            total += gamma * self.mixed.T @ adjoint
            adjoint = adjoint - gamma * self.hessian @ adjoint
        return total


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("size", [1, 5, 50])
def test_every_solver_equals_its_closed_form(size, product):
    one, products = Quadratic(size), PRODUCTS[product]
    expected = {
        "neumann": one.from_q(one.truncated(0.3, 3)),
        "identity": one.from_q(0.3 * one.v),
        "conjugate_gradient": one.from_q(one.damped_inverse(0.5)),
        "unrolled": one.unrolled(0.3, 3),
    }
    settings = {name: {"gamma": 0.3} for name in expected} | {
        "conjugate_gradient": {"terms": 4 * size, "damping": 0.5, "tolerance": 1e-12}
    }
    assert set(expected) == set(SOLVERS) == set(get_args(SolverName))
    for name, gradient in expected.items():
        result = one.by(name, products=products, **settings[name])
        assert torch.allclose(result.gradient[0], gradient, rtol=0, atol=1e-8), name


def test_conjugate_gradients_stop_at_a_millionth_where_nothing_else_is_said():
    lengths = Quadratic(50).by("conjugate_gradient", terms=200).solution.lengths
    assert lengths[-1] <= 1e-6 * lengths[0] < lengths[-2]


def test_damping_enters_the_series():
    one = Quadratic(7)
    assert torch.allclose(
        one.by("neumann", gamma=0.2, damping=1.0).gradient[0], one.from_q(one.truncated(0.2, 3, 1.0)), atol=1e-8
    )


@pytest.mark.parametrize("name", ["neumann", "identity", "unrolled"])
def test_gamma_is_estimated_where_none_is_given_and_an_earlier_estimate_goes_on(name):
    one = Quadratic(6)
    gamma = one.by(name).solution.gamma
    assert gamma == pytest.approx(1 / 3.0, rel=0.15)
    assert one.by(name, last_gamma=0.125).solution.gamma == 0.125
    fixed, again = one.by(name, gamma=gamma), one.by(name)
    assert torch.equal(fixed.gradient[0], again.gradient[0])


def test_outer_loss_is_reported_where_v_was_taken():
    one = Quadratic(6)
    assert one.by("identity", gamma=1.0).outer_loss == pytest.approx(one.outer().item())
    theta = one.theta.detach() - 0.3 * (one.hessian @ one.theta - one.mixed @ one.phi).detach()
    expected = 0.5 * (theta - one.centre).square().sum() + one.slope @ one.phi
    assert one.by("unrolled", gamma=0.3, terms=1).outer_loss == pytest.approx(expected.item())


@pytest.mark.parametrize("steps_before", [0, 3])
def test_identity_adapted_to_adam_is_the_derivative_through_adams_next_step(steps_before):
    """L_meta linear in theta: its derivative through one step is exact."""
    one = Quadratic(6)
    adam = torch.optim.Adam([one.theta], lr=0.05, betas=(0.9, 0.99), eps=1e-3)
    for _ in range(steps_before):
        one.theta.grad = torch.autograd.grad(one.inner(), one.theta)[0]
        adam.step()
    one.outer = lambda: one.theta @ one.centre
    state = {key: value.clone() for key, value in adam.state[one.theta].items()}
    gradient = torch.autograd.grad(one.inner(), [one.theta])
    slopes = adam_slopes(adam, [one.theta], gradient)
    assert all(torch.equal(value, adam.state[one.theta][key]) for key, value in state.items())
    result = one.by("identity", slopes=slopes).gradient[0]
    start = one.theta.detach().clone()

    def outer_after_a_step(index, move):
        with torch.no_grad():
            one.phi[index] += move
        one.theta.grad = torch.autograd.grad(one.inner(), one.theta)[0]
        copy = torch.optim.Adam([one.theta], lr=0.05, betas=(0.9, 0.99), eps=1e-3)
        if state:
            copy.state[one.theta] = {key: value.clone() for key, value in state.items()}
        copy.step()
        value = one.outer().item()
        with torch.no_grad():
            one.phi[index] -= move
            one.theta.copy_(start)
        return value

    for index in range(4):
        expected = (outer_after_a_step(index, 1e-5) - outer_after_a_step(index, -1e-5)) / 2e-5
        assert result[index].item() == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_a_series_that_is_not_finite_stops_with_the_way_out():
    one = Quadratic(3)
    inner = one.inner
    one.inner = lambda: inner() * float("inf")
    with pytest.raises(ValueError, match="is not finite at term 1"):
        one.by("neumann", gamma=0.3)
