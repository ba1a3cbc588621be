"""Means, intervals and differences of a sweep against hand-made scores; the table and the figure of them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import ttest_rel

from instune.errors import InputError
from instune.evaluation.crossed import crossed
from tools.sweep.plan import Experiment, Sweep
from tools.sweep.plot import svg
from tools.sweep.summary import Result, interval, result_of, rounded, summarize
from tools.sweep.table import table

TASKS = [f"task{number}" for number in range(6)]
NLL = {arm: 2 + np.random.default_rng(number).normal(size=(6, 3)) for number, arm in enumerate(("random", "good", "same"))}
NLL["good"] = NLL["random"] - 1 + 0.1 * np.random.default_rng(9).normal(size=(6, 3))
SWEEP = Sweep.model_validate(
    {
        "about": "Made <i>up</i>.",
        "profile": "made",
        "seeds": [0, 1, 2],
        "baseline": "random",
        "arms": {arm: {} for arm in NLL},
        "metrics": {"nll": "lower", "rouge_l": "higher"},
    }
)


def result(arm: str, seed: int, tokens: int = 1000) -> Result:
    """One experiment; the model before fine-tuning has an NLL of 9 for every task."""
    experiment = Experiment(f"made-{arm}-s{seed}", arm, seed, {"finetune": {"epochs": 2}})
    tuned = {task: {"nll": NLL[arm][row, seed], "rouge_l": 0.5, "examples": 3} for row, task in enumerate(TASKS)}
    base = {task: {"nll": 9.0, "rouge_l": 0.1, "examples": 3} for task in TASKS}
    scores = {"models": {"tuned": {"tasks": tuned}, "base": {"tasks": base}}}
    return result_of(experiment, scores, {"tokens": {"all": tokens, "with_loss": 100}})


def results(**without: int) -> list[Result]:
    return [result(arm, seed) for arm in NLL for seed in (0, 1, 2) if without.get(arm) != seed]


def test_means_intervals_and_paired_differences_are_those_of_tasks_by_seeds():
    found = summarize("made", SWEEP, results(), {}, {})
    good = found["arms"]["good"]["measures"]["nll"]
    truth, minus = crossed(NLL["good"], 0.95), crossed(NLL["good"] - NLL["random"], 0.95)
    assert [good[key] for key in ("mean", "low", "high")] == pytest.approx([truth.mean, truth.low, truth.high], rel=1e-5)
    assert list(good["by_seed"].values()) == pytest.approx(NLL["good"].mean(0).tolist(), rel=1e-5)
    said = good["minus_baseline"]
    assert [said[key] for key in ("mean", "low", "high")] == pytest.approx([minus.mean, minus.low, minus.high], rel=1e-5)
    other = found["arms"]["same"]["measures"]["nll"]["minus_baseline"]
    assert said["p_holm"] == pytest.approx(2 * said["p_value"], rel=1e-5)  # the smaller of two
    assert other["p_holm"] == other["p_value"] > 0.05
    assert "minus_baseline" not in found["arms"]["random"]["measures"]["nll"]
    assert found["base"]["measures"]["nll"]["mean"] == 9
    assert found["arms"]["good"]["tokens"] == {"mean": 2000, "least": 2000, "most": 2000}
    assert found["settings"]["targets"] == TASKS


def test_with_a_seed_missing_differences_are_over_the_seeds_that_both_have():
    found = summarize("made", SWEEP, results(random=1), {"made-random-s1": "failed"}, {})
    good = found["arms"]["good"]["measures"]["nll"]
    assert (good["seeds"], good["minus_baseline"]["seeds"], found["arms"]["random"]["experiments"]) == (3, 2, 2)
    assert good["minus_baseline"]["mean"] == pytest.approx((NLL["good"] - NLL["random"])[:, [0, 2]].mean(), rel=1e-5)
    assert "INCOMPLETE, 1 experiment(s) are missing: made-random-s1: failed" in table(found)
    assert "INCOMPLETE, 1 experiments missing" in svg(found)


def test_one_seed_gives_the_t_interval_over_tasks_and_one_task_gives_none():
    column = NLL["good"][:, :1] - NLL["random"][:, :1]
    low, high = ttest_rel(NLL["good"][:, 0], NLL["random"][:, 0]).confidence_interval(0.95)
    assert [interval(column)[key] for key in ("low", "high")] == pytest.approx([low, high])
    assert interval(NLL["good"][:1])["low"] is None


def test_an_arm_or_a_baseline_without_experiments_leaves_the_others_as_they_are():
    without_random = summarize("made", SWEEP, [one for one in results() if one.experiment.arm != "random"], {}, {})
    assert without_random["arms"]["good"]["measures"]["nll"]["minus_baseline"] is None
    assert without_random["base"]["measures"] == {}
    without_good = summarize("made", SWEEP, [one for one in results() if one.experiment.arm != "good"], {}, {})
    assert without_good["arms"]["good"] == {"experiments": 0, "measures": {}}
    for found in (without_random, without_good, summarize("made", SWEEP, [], {}, {})):
        assert "| good |" in table(found)
        assert "not run" in svg(found)


def test_other_targets_and_missing_metrics_are_refused():
    fewer = result("good", 0)
    del fewer.scores["tuned"]["task3"]
    with pytest.raises(InputError, match="made-good-s0: scored 5 target tasks, made-random-s0 6, not the same"):
        summarize("made", SWEEP, [result("random", 0), fewer], {}, {})
    other = SWEEP.model_copy(update={"metrics": {"bleu": "higher"}})
    with pytest.raises(InputError, match=r"metrics: 'bleu' is missing for task0 in made-random-s0\. There are: nll, rouge_l"):
        summarize("made", other, [result("random", 0)], {}, {})


def test_the_table_says_whether_tokens_are_equal():
    assert "equal within 0.0%" in table(summarize("made", SWEEP, results(), {}, {}))
    uneven = [result("random", 0), result("good", 0, tokens=1500)]
    assert "NOT EQUAL: 50.0% more in good than in random" in table(summarize("made", SWEEP, uneven, {}, {}))


def test_the_figure_repeats_byte_for_byte_and_shows_every_arm_and_seed():
    summary = summarize("made", SWEEP, results(), {}, {})
    figure = svg(summary)
    assert figure == svg(summarize("made", SWEEP, results()[::-1], {}, {}))
    root = ElementTree.fromstring(figure)
    text = "\n".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(
        arm in text for arm in ("random", "good", "same", "before fine-tuning", "nll (lower is better)", "Made <i>up</i>.")
    )


def test_rounding_keeps_six_digits_of_small_numbers_too():
    assert rounded({"a": [1.23456789, 1.23456789e-9], "b": None, "c": 3}) == {"a": [1.23457, 1.23457e-9], "b": None, "c": 3}
