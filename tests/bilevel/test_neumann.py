"""Solvers against closed forms on random matrices in float64."""

from __future__ import annotations

import pytest
import torch

from instune.bilevel.curvature import largest_eigenvalue
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.solvers.solution import CurvatureError


def symmetric(eigenvalues: list[float], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T


def in_two_parts(matrix: torch.Tensor):
    """The matrix as a function of a vector that lives in two tensors."""

    def matvec(vector):
        product = matrix @ torch.cat([part.flatten() for part in vector])
        return product[:2].view(1, 2), product[2:]

    return matvec


def vector_of(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    flat = torch.randn(size, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return flat[:2].view(1, 2), flat[2:]


@pytest.mark.parametrize("terms", [0, 1, 3, 20])
@pytest.mark.parametrize("size", [3, 10, 50])
def test_series_equals_the_truncated_sum_of_matrix_powers(size, terms):
    matrix = symmetric(torch.linspace(0.1, 4.0, size).tolist(), seed=size)
    v, gamma = vector_of(size), 0.3
    contraction = torch.eye(size, dtype=torch.float64) - gamma * matrix
    powers = sum(torch.linalg.matrix_power(contraction, j) for j in range(terms + 1))
    expected = gamma * powers @ torch.cat([part.flatten() for part in v])
    series = neumann(in_two_parts(matrix), v, gamma=gamma, terms=terms)
    assert torch.allclose(torch.cat([part.flatten() for part in series.vector]), expected, rtol=0, atol=1e-10)
    assert len(series.lengths) == terms + 1


def test_long_series_tends_to_the_inverse_times_the_vector():
    matrix = symmetric([0.5, 1.0, 2.0, 4.0], seed=1)
    v = vector_of(4)
    series = neumann(in_two_parts(matrix), v, gamma=0.25, terms=300)
    expected = torch.linalg.solve(matrix, torch.cat([part.flatten() for part in v]))
    assert torch.allclose(torch.cat([part.flatten() for part in series.vector]), expected, atol=1e-10)


def test_gamma_times_eigenvalue_over_two_is_refused_with_what_to_set():
    matrix = symmetric([0.1, 0.2, 0.3, 10.0], seed=2)
    with pytest.raises(CurvatureError, match=r"optimize\.gamma: auto, or at most 0\.1"):
        neumann(in_two_parts(matrix), vector_of(4), gamma=0.21, terms=50)


def test_gamma_times_eigenvalue_just_under_two_converges():
    matrix = symmetric([0.1, 0.2, 0.3, 10.0], seed=2)
    series = neumann(in_two_parts(matrix), vector_of(4), gamma=0.19, terms=2000)
    expected = torch.linalg.solve(matrix, torch.cat([part.flatten() for part in vector_of(4)]))
    assert torch.allclose(torch.cat([part.flatten() for part in series.vector]), expected, rtol=1e-6)


def test_negative_curvature_is_refused_once_it_grows():
    matrix = symmetric([-1.0, 0.5, 1.0, 2.0], seed=3)
    with pytest.raises(CurvatureError):
        neumann(in_two_parts(matrix), vector_of(4), gamma=0.5, terms=100)


def test_arguments_of_the_solver_are_left_alone():
    v = vector_of(4)
    before = [part.clone() for part in v]
    neumann(in_two_parts(symmetric([1.0, 2.0, 3.0, 4.0], seed=4)), v, gamma=0.1, terms=5)
    assert all(torch.equal(a, b) for a, b in zip(v, before, strict=True))


def test_power_iteration_finds_the_eigenvalue_of_largest_size():
    for eigenvalues, expected in (([0.5, 1.0, 2.0, 8.0], 8.0), ([0.5, 1.0, 2.0, -8.0], 8.0)):
        found = largest_eigenvalue(in_two_parts(symmetric(eigenvalues, seed=5)), vector_of(4), iterations=60)
        assert found == pytest.approx(expected, rel=0.05)


def test_power_iteration_of_a_zero_matrix_is_zero():
    assert largest_eigenvalue(in_two_parts(torch.zeros(4, 4, dtype=torch.float64)), vector_of(4), iterations=5) == 0.0


def test_adaptive_series_keeps_its_gamma_until_a_steeper_matrix_comes():
    gentle, steep = (in_two_parts(symmetric([0.5, 1.0, 1.5, top], seed=6)) for top in (2.0, 20.0))
    solver, v = AdaptiveNeumann(3), vector_of(4)
    first = solver(gentle, v).gamma
    assert first == pytest.approx(0.5, rel=0.1)
    assert solver(gentle, v).gamma == first
    assert solver(steep, v).gamma == pytest.approx(0.05, rel=0.1)


def test_adaptive_series_halves_gamma_where_negative_curvature_grows():
    matrix = in_two_parts(symmetric([-2.0, -2.0, -2.0, -2.0], seed=8))  # each term is 1 + 2 gamma times the last
    v = vector_of(4)
    solution = AdaptiveNeumann(3)(matrix, v)  # 1.5 ** 3 > 2 at a gamma of 1/4, 1.25 ** 3 < 2 at 1/8
    assert solution.gamma == pytest.approx(1 / 8)
    expected = neumann(matrix, v, gamma=solution.gamma, terms=3).vector
    assert all(torch.equal(a, b) for a, b in zip(solution.vector, expected, strict=True))


def test_adaptive_series_gives_up_after_three_halvings_and_names_a_way_out():
    matrix = in_two_parts(symmetric([-2.0, -2.0, -2.0, -2.0], seed=8))
    with pytest.raises(CurvatureError, match=r"halved 3 times\. Lower optimize\.terms") as error:
        AdaptiveNeumann(30)(matrix, vector_of(4))
    assert "gamma 0.0625" in str(error.value)
    assert "Set optimize.gamma: auto" not in str(error.value)
