"""Precision, nDCG and regret of a choice, against numbers by hand and a peer library."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from instune.selection import quality

TASKS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
TRUTH = quality.gains(TASKS, 3.0, {"a": 1.0, "b": 2.2, "c": 3.5})


def test_a_gain_is_the_fall_of_nll_by_the_tasks_family():
    assert pytest.approx({"a1": 2.0, "a2": 2.0, "b1": 0.8, "c1": -0.5}) == TRUTH


def test_the_best_choice_has_no_regret_and_a_harmful_one_more_than_all():
    assert quality.regret(["a2", "a1"], TRUTH, 2) == pytest.approx(0)
    assert quality.regret(["a1", "b1"], TRUTH, 2) == pytest.approx(1 - 1.4 / 2.0)
    assert quality.regret(["c1"], TRUTH, 1) == pytest.approx(1.25)


def test_a_choice_of_more_tasks_is_held_against_the_best_few():
    assert quality.regret(list(TASKS), TRUTH, 2) == pytest.approx(1 - (2.0 + 2.0 + 0.8 - 0.5) / 4 / 2.0)
    assert quality.regret(list(TASKS), TRUTH, 4) == pytest.approx(0)  # all there is


def test_regret_is_the_share_missed_by_brute_force():
    draw = np.random.default_rng(1)
    for _ in range(20):
        truth = {f"t{number}": float(value) for number, value in enumerate(draw.normal(0.5, size=7))}
        best = max(sum(truth[task] for task in some) / 3 for some in combinations(truth, 3))
        for some in combinations(truth, 3):
            assert quality.regret(some, truth, 3) == pytest.approx((best - sum(truth[task] for task in some) / 3) / best)


def test_precision_counts_tasks_of_half_the_best_gain():
    assert quality.precision(["a1", "b1", "c1", "a2"], TRUTH) == 0.5
    assert quality.precision(["b1"], TRUTH | {"b1": 1.0}) == 1.0
    assert quality.precision(["c1"], {"c1": -1.0}) == 0.0


def test_ndcg_agrees_with_scikit_learn():
    draw = np.random.default_rng(0)
    for _ in range(20):
        truth = {f"t{number}": float(value) for number, value in enumerate(draw.normal(size=12))}
        ranked = [f"t{number}" for number in draw.permutation(12)]
        scores = {task: -place for place, task in enumerate(ranked)}
        relevance = np.maximum([[truth[task] for task in truth]], 0)
        for k in (1, 5, 12):
            expected = ndcg_score(relevance, [[scores[task] for task in truth]], k=k)
            assert quality.ndcg(ranked[:k], truth) == pytest.approx(expected)


def test_a_target_that_nothing_helps_is_refused():
    with pytest.raises(ValueError, match="no source task"):
        quality.regret(["a"], {"a": -0.1, "b": 0.0}, 1)
