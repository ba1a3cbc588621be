"""From choices to means with intervals, against numbers by hand, loops and scipy."""

from __future__ import annotations

from itertools import product
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from instune.selection import quality
from tools.quality import summary

TASKS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
TRANSFER = {
    "tasks": TASKS,
    "base": {"x": {"nll": 3.0, "exact_match": 0.1}, "y": {"nll": 1.0, "exact_match": 0.5}},
    "families": {
        "a": {"x": {"nll": 1.0, "exact_match": 0.9}, "y": {"nll": 0.9, "exact_match": 0.5}},
        "b": {"x": {"nll": 2.0, "exact_match": 0.1}, "y": {"nll": 0.5, "exact_match": 0.4}},
        "c": {"x": {"nll": 7.0, "exact_match": 0.0}, "y": {"nll": 2.0, "exact_match": 0.0}},
    },
}


def choose(*choices):
    """Runs of one selector: per seed (choice for x, choice for y)."""
    return {str(seed): {"chosen": dict(zip("xy", choice, strict=True))} for seed, choice in enumerate(choices)}


def test_a_gain_is_a_lower_nll_or_a_higher_share_of_matches():
    nll, match = summary.truths(TRANSFER, "nll"), summary.truths(TRANSFER, "exact_match")
    assert nll["x"] == {"a1": 2.0, "a2": 2.0, "b1": 1.0, "c1": -4.0}
    assert match["x"] == pytest.approx({"a1": 0.8, "a2": 0.8, "b1": 0.0, "c1": -0.1})
    assert set(nll) == {"x", "y"}
    assert set(match) == {"x"}  # no family answers more of y


def test_scores_are_means_over_the_runs_of_a_selector():
    runs = {"two": choose((["a1", "b1"], ["b1", "a1"]), (["c1", "a2"], ["a1", "a2"]))}
    scores = summary.score_bed(runs, TRANSFER, top_k=2)["two"]
    assert scores["regret_nll"]["x"] == pytest.approx(fmean([1 - 1.5 / 2, 1 - -1.0 / 2]))
    assert scores["regret_nll"]["y"] == pytest.approx(fmean([0, 1 - 0.1 / 0.3]))  # the best two of y: b1 0.5, and an a 0.1
    assert scores["precision_nll"] == {"x": fmean([1, 0.5]), "y": fmean([0.5, 0])}
    assert scores["regret_exact_match"] == pytest.approx({"x": fmean([0.5, 1 - 0.35 / 0.8])})
    ideal = 2 + 2 / np.log2(3)
    assert scores["ndcg_nll"]["x"] == pytest.approx(fmean([(2 + 1 / np.log2(3)) / ideal, 2 / np.log2(3) / ideal]))


def test_a_choice_of_all_tasks_has_regret_against_the_best_few_and_no_ndcg():
    scores = summary.score_bed({"all": choose((list(TASKS), list(TASKS)))}, TRANSFER, top_k=2)["all"]
    assert scores["regret_nll"]["x"] == pytest.approx(1 - 0.25 / 2)
    assert scores["ndcg_nll"] == {}


def test_the_best_precision_is_below_one_where_few_tasks_help():
    assert summary.best_precision(TRANSFER, 3) == pytest.approx(fmean([1, 1 / 3]))  # x: a1, a2, b1 of exactly half; y: b1


def test_means_over_beds_take_a_target_where_it_has_a_value():
    assert summary.over_beds({0: {"x": 1.0, "y": 2.0}, 3: {"x": 2.0}}) == {"x": 1.5, "y": 2.0}


def cost(seed):
    return {"seconds": 1.0 + seed, "cpu_seconds": 0.5, "flops": 3}


def made(beds=3, targets=6):
    """Runs and matrices of several beds with random gains; 4 tasks of as many families."""
    draw, ids = np.random.default_rng(0), [f"t{number}" for number in range(targets)]
    tasks = {family * 2: family for family in "abcd"}
    matrices, runs = {}, {}
    for seed in range(beds):
        rows = {f: {t: {"nll": float(draw.uniform(0, 2)), "exact_match": float(draw.uniform())} for t in ids} for f in "abcd"}
        matrices[seed] = {"tasks": tasks, "base": {t: {"nll": 2.0, "exact_match": 0.0} for t in ids}, "families": rows}
        runs[seed] = {
            name: {
                str(run): {"chosen": {t: draw.permutation(list(tasks))[:2].tolist() for t in ids}, **cost(seed)}
                for run in range(2)
            }
            for name in ("random", "instruction, vote", "other")
        }
    return matrices, runs, ids


def test_the_summary_by_loops_and_scipy():
    matrices, runs, ids = made()
    found = summary.summarize({s: summary.score_bed(runs[s], matrices[s], top_k=2) for s in matrices}, runs, 0.95)
    values = {}
    for name in ("random", "instruction, vote", "other"):
        for target in ids:
            regrets = []
            for seed, matrix in matrices.items():
                truth = {f * 2: 2.0 - matrix["families"][f][target]["nll"] for f in "abcd"}
                regrets += [quality.regret(run["chosen"][target], truth, 2) for run in runs[seed][name].values()]
            values.setdefault(name, []).append(fmean(regrets))
    for name, expected in values.items():
        one = found[name]["measures"]["regret_nll"]
        interval = ttest_1samp(expected, 0).confidence_interval(0.95)
        assert (one["mean"], one["low"], one["high"]) == pytest.approx((fmean(expected), interval.low, interval.high))
        assert one["targets"] == pytest.approx(dict(zip(ids, expected, strict=True)))
        assert one["mean"] == pytest.approx(fmean(one["beds"].values()))
        assert one["bed_deviation"] == pytest.approx(np.std(list(one["beds"].values()), ddof=1))
    for name, (label, reference) in product(values, summary.REFERENCES.items()):
        if name == reference:
            assert label not in found[name]["measures"]["regret_nll"]["minus"]
            continue
        one = found[name]["measures"]["regret_nll"]["minus"][label]
        interval = ttest_rel(values[name], values[reference]).confidence_interval(0.95)
        assert (one["low"], one["high"]) == pytest.approx((interval.low, interval.high))
    costs = {key: value for key, value in found["other"].items() if key != "measures"}
    assert costs == {"runs": 2, "seconds": 2.0, "cpu_seconds": 0.5, "flops": 3}


def test_one_bed_has_no_deviation():
    matrices, runs, _ = made(beds=1)
    found = summary.summarize({0: summary.score_bed(runs[0], matrices[0], top_k=2)}, runs, 0.95)
    assert found["other"]["measures"]["regret_nll"]["bed_deviation"] is None
