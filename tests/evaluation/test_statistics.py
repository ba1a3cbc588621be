import numpy as np
import pytest
from scipy import stats

from instune.evaluation.statistics import over_tasks, paired, t_interval


def test_interval_equals_that_of_scipy():
    values = np.random.default_rng(0).normal(0.4, 0.2, 12)
    wanted = stats.t.interval(0.9, 11, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values.tolist(), 0.9) == pytest.approx(wanted)


def test_paired_interval_is_that_of_the_paired_t_test():
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.5, 0.2, 15), generator.normal(0.4, 0.2, 15)
    wanted = stats.ttest_rel(first, second).confidence_interval(0.95)
    names = [f"task{number}" for number in range(15)]
    difference = paired(dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True)), 0.95)
    assert (difference["low"], difference["high"]) == pytest.approx((wanted.low, wanted.high))
    assert difference["tasks"] == 15


def test_pairing_uses_shared_tasks_only():
    assert paired({"a": 1.0, "b": 0.5}, {"b": 0.2, "c": 0.0}, 0.95) == {
        "mean": pytest.approx(0.3),
        "low": None,
        "high": None,
        "tasks": 1,
    }


def test_one_task_has_a_mean_and_no_interval():
    assert over_tasks({"a": 0.25}, 0.95) == {"mean": 0.25, "low": None, "high": None, "tasks": 1}


def test_95_percent_intervals_cover_the_mean_of_the_task_population():
    generator, tasks, examples, covered, runs = np.random.default_rng(2), 30, 20, 0, 2000
    for _ in range(runs):  # each task has its own accuracy around 0.5, and is measured on 20 examples
        accuracy = np.clip(generator.normal(0.5, 0.15, tasks), 0, 1)
        low, high = t_interval((generator.binomial(examples, accuracy) / examples).tolist(), 0.95)
        covered += low <= 0.5 <= high
    assert 0.93 <= covered / runs <= 0.97
