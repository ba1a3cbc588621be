"""What solvers report beside their vector, by hand: lengths, gamma, and the figures in what they refuse."""

from __future__ import annotations

import re

import pytest
import torch

from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.identity import adam_slope, adapted_identity, identity
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.solvers.solution import CurvatureError, Solution, damped
from instune.bilevel.solvers.unrolled import unrolled
from instune.errors import InputError


def vector(*values: float) -> tuple[torch.Tensor, ...]:
    return (torch.tensor(values, dtype=torch.float64),)


def diagonal(*values: float):
    """A diagonal matrix times a vector."""
    return lambda part: (torch.tensor(values, dtype=torch.float64) * part[0],)


def never(part):
    raise AssertionError


def test_what_remains_is_the_last_length_as_a_part_of_the_first():
    assert Solution((), (4.0, 2.0, 1.0)).remaining == 0.25
    assert Solution((), (4.0, 0.0, 1.0)).remaining == 0.25
    assert Solution((), (0.0, 2.0)).remaining == 0.0
    assert Solution((), (1.0,)).gamma is None


def test_damping_adds_to_the_diagonal_and_none_leaves_the_product_alone():
    assert damped(diagonal(1.0, 2.0), 0.5)(vector(2.0, 4.0))[0].tolist() == [3.0, 10.0]
    assert damped(diagonal(1.0, 2.0), 1.0)(vector(2.0, 4.0))[0].tolist() == [4.0, 12.0]
    assert damped(never, 0.0) is never


def test_conjugate_gradients_report_the_lengths_of_their_residuals():
    # direction (1, 1), step 2/3, residual (1/3, -1/3); exact after two steps
    solution = conjugate_gradient(diagonal(1.0, 2.0), vector(1.0, 1.0), iterations=2, tolerance=0.0)
    assert solution.lengths == pytest.approx((2**0.5, 2**0.5 / 3, 0.0), abs=1e-12)
    assert solution.vector[0].tolist() == pytest.approx([1.0, 0.5])
    assert solution.gamma is None


def test_conjugate_gradients_for_a_zero_vector_are_done_before_the_first_product():
    solution = conjugate_gradient(never, vector(0.0, 0.0), iterations=5, tolerance=1e-6)
    assert solution.vector[0].tolist() == [0.0, 0.0]
    assert solution.lengths == (0.0,)


@pytest.mark.parametrize(
    ("matrix", "v", "said"),
    [
        ((1.0, -3.0), (1.0, 1.0), "curvature -1 at iteration 0.\n  Raise optimize.damping by more than 1,"),
        # step 5 leads to the residual (-8, 16) and the direction (120, 80): (14400 - 3 x 6400) / 20800
        ((1.0, -3.0), (2.0, 1.0), "curvature -0.231 at iteration 1.\n  Raise optimize.damping by more than 0.23,"),
        ((0.0, 1.0), (1.0, 0.0), "curvature 0 at iteration 0.\n"),
    ],
)
def test_curvature_is_refused_with_its_figure_and_the_damping_that_cures_it(matrix, v, said):
    with pytest.raises(CurvatureError, match=re.escape(said)):
        conjugate_gradient(diagonal(*matrix), vector(*v), iterations=5, tolerance=1e-6)


def test_the_identity_reports_the_vectors_length_and_its_gamma():
    solution = identity(never, vector(3.0, 4.0), gamma=0.5)
    assert (solution.lengths, solution.gamma, solution.remaining) == ((5.0,), 0.5, 1.0)
    adapted = adapted_identity(never, vector(3.0, 4.0), slopes=vector(2.0, 0.5))
    assert (adapted.lengths, adapted.gamma, adapted.vector[0].tolist()) == ((5.0,), None, [6.0, 2.0])


def test_the_first_adam_step_from_a_zero_gradient_has_the_slope_rate_over_eps():
    zero = vector(0.0)  # u = rate g / (|g| + eps)
    (slope,) = adam_slope(zero, zero, zero, step=1, learning_rate=0.05, betas=(0.9, 0.99), eps=1e-3)
    assert slope.item() == pytest.approx(50.0)


def test_the_series_reports_the_lengths_of_its_terms_and_its_gamma():
    series = neumann(diagonal(1.0, 1.0), vector(3.0, 4.0), gamma=0.5, terms=2)  # each term half the last
    assert (series.lengths, series.gamma) == ((5.0, 2.5, 1.25), 0.5)
    assert series.vector[0].tolist() == [0.875 * 3.0, 0.875 * 4.0]
    assert neumann(diagonal(1.0), vector(0.0), gamma=3.0, terms=2).lengths == (0.0, 0.0, 0.0)  # no curvature is seen


def test_a_series_at_the_border_goes_on():
    assert neumann(diagonal(1.0), vector(1.0), gamma=2.0, terms=2).vector[0].item() == 2.0  # 1 - 1 + 1
    assert neumann(diagonal(-1.0), vector(1.0), gamma=1.0, terms=1).lengths == (1.0, 2.0)  # twice the first
    with pytest.raises(CurvatureError, match="at term 1: lengths of its terms 1, 2\\.5;"):
        neumann(diagonal(-1.5), vector(1.0), gamma=1.0, terms=1)
    with pytest.raises(CurvatureError, match="at term 2: lengths of its terms 1, 2, 4; gamma 1, curvature seen 1\\."):
        neumann(diagonal(-1.0), vector(1.0), gamma=1.0, terms=3)


def test_a_series_that_diverges_is_refused_with_the_gamma_that_would_do():
    said = "diverges at term 1: lengths of its terms 0.5, 1; gamma 0.3, curvature seen 10.\n"
    with pytest.raises(CurvatureError, match=re.escape(said + "  Set optimize.gamma: auto, or at most 0.1, or lower")):
        neumann(diagonal(10.0), vector(0.5), gamma=0.3, terms=5)


@pytest.mark.parametrize(
    ("matrix", "v", "said"),
    [
        (1.0, float("inf"), r"term 0 (gamma 0.3): the outer loss's"),
        (1.0, float("nan"), r"term 0 (gamma 0.3): the outer loss's"),
        (float("inf"), 1.0, r"term 1 (gamma 0.3): the inner loss's"),
    ],
)
def test_what_is_not_finite_is_refused_by_the_loss_that_it_comes_from(matrix, v, said):
    with pytest.raises(InputError, match=re.escape(said)):
        neumann(diagonal(matrix), vector(v), gamma=0.3, terms=2)


def test_the_adaptive_series_has_no_gamma_before_its_first_batch_and_names_the_one_it_began_with():
    solver = AdaptiveNeumann(30)
    assert solver.gamma is None
    with pytest.raises(CurvatureError, match=r"gamma: auto began at 0\.5 and was halved 3 times"):
        solver(diagonal(-2.0, -2.0), vector(1.0, 1.0))
    kept = AdaptiveNeumann(1, 0.25)
    assert kept(diagonal(1.0), vector(1.0)).gamma == kept.gamma == 0.25


def test_unrolling_reports_the_adjoints_length_and_its_rate_and_restores_theta_whatever_happens():
    theta, phi = [torch.tensor([3.0, 4.0], requires_grad=True)], [torch.tensor([1.0], requires_grad=True)]

    def inner():
        return 0.5 * (theta[0] - phi[0]).square().sum()

    def outer():
        return 0.5 * theta[0].square().sum()

    result = unrolled(inner, outer, theta, phi, steps=1, learning_rate=0.5)  # theta_1 = (2, 2.5), its own gradient
    assert result.solution.lengths == (pytest.approx(10.25**0.5),)
    assert (result.solution.gamma, result.solution.vector) == (0.5, ())
    assert result.gradient[0].item() == pytest.approx(0.5 * (2 + 2.5))

    def broken():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        unrolled(inner, broken, theta, phi, steps=2, learning_rate=0.5)
    assert theta[0].tolist() == [3.0, 4.0]
