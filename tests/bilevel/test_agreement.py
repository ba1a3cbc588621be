"""An approximate hypergradient held against the exact one."""

import pytest
from language_problems import problem, tiny_llama

from instune.bilevel.agreement import Batches, measure_agreement
from instune.bilevel.hypergradient import products_by
from instune.bilevel.solvers.named import SolverSettings


def drawn(count: int, model):
    found = [problem(model, seed=10 * seed) for seed in range(count)]
    return found[0], [Batches(one.inner, one.outer, one.inner, one.outer) for one in found]


def test_agreement_is_perfect_for_the_exact_product_and_says_the_noise():
    first, batches = drawn(2, tiny_llama())
    settings = SolverSettings(products_by("double_backward", None), 1, gamma=0.02)
    agreement = measure_agreement(batches[:1], first.theta, [first.phi], solver="neumann", settings=settings)
    assert agreement.cosines == pytest.approx((1.0,))
    assert agreement.ratios == pytest.approx((1.0,))
    assert agreement.between == ()
    assert str(agreement).startswith("hypergradient against float32 double backward: cosine 1.00000, norm ratio 1.0000")


def test_agreement_falls_where_the_difference_step_is_useless():
    first, batches = drawn(1, tiny_llama())
    cosines = {}
    for step in (3e-3, 1e-7):
        settings = SolverSettings(products_by("central_difference", step), 1)
        cosines[step] = measure_agreement(batches, first.theta, [first.phi], solver="neumann", settings=settings).cosines[0]
    assert cosines[1e-7] < 0.95 < 0.999 < cosines[3e-3]
