import numpy as np
import pytest
from scipy import stats

from instune.evaluation.statistics import over_tasks, paired, t_interval, task_interval, task_p_value

SKEWED = [0.0, 0.0, 0.02, 0.05, 0.05, 0.1, 0.12, 0.2, 0.35, 0.5, 0.9, 1.0]


def bca(values, confidence, resamples=100_000):
    """Efron's formulas (1987, equations 2.3 and 7.3), the level widened as by Hesterberg (2015, section 5.1), other resamples."""
    values, normal, count = np.array(values), stats.norm, len(values)
    means = np.random.default_rng(9).choice(values, (resamples, count)).mean(1)
    shift = normal.ppf((np.mean(means < values.mean()) + np.mean(means <= values.mean())) / 2)
    away = values.mean() - (values.sum() - values) / (count - 1)  # from each mean that leaves one value out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    tail = normal.cdf(-np.sqrt(count / (count - 1)) * stats.t.ppf((1 + confidence) / 2, count - 1))
    sides = shift + normal.ppf([tail, 1 - tail])
    return np.quantile(means, normal.cdf(shift + sides / (1 - acceleration * sides)))


def test_t_interval_equals_that_of_scipy():
    values = np.random.default_rng(0).normal(0.4, 0.2, 12)
    wanted = stats.t.interval(0.9, 11, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values.tolist(), 0.9) == pytest.approx(wanted)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_bootstrap_interval_equals_efrons_formulas(confidence):
    wanted = bca(SKEWED, confidence)
    assert task_interval(SKEWED, confidence) == pytest.approx(wanted, abs=0.03 * (wanted[1] - wanted[0]))


def test_the_bootstrap_is_scipys_on_the_sorted_values_with_9999_resamples_under_seed_0():
    tail = stats.norm.cdf(-np.sqrt(12 / 11) * stats.t.ppf(0.975, 11))
    settings = {"confidence_level": 1 - 2 * tail, "n_resamples": 9999, "method": "BCa", "rng": np.random.default_rng(0)}
    wanted = stats.bootstrap((np.array(SKEWED),), np.mean, **settings).confidence_interval
    assert task_interval(SKEWED[::-1], 0.95) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


def test_bootstrap_interval_of_many_symmetric_values_is_that_of_student():
    values = np.random.default_rng(3).normal(0.5, 0.1, 400).tolist()
    assert task_interval(values, 0.95) == pytest.approx(t_interval(values, 0.95), abs=0.0006)


def test_bootstrap_interval_reaches_further_towards_the_long_tail():
    mean = np.mean(SKEWED)
    low, high = task_interval(SKEWED, 0.95)
    assert high - mean > 1.3 * (mean - low)
    assert task_interval([1 - value for value in SKEWED], 0.95) == pytest.approx((1 - high, 1 - low), abs=0.01)


def test_fewer_than_ten_tasks_have_students_interval_and_ten_the_bootstrap():
    assert task_interval(SKEWED[:9], 0.95) == t_interval(SKEWED[:9], 0.95)
    assert task_interval(SKEWED[:10], 0.95) != t_interval(SKEWED[:10], 0.95)


def test_equal_scores_have_an_interval_without_width():
    assert task_interval([0.25] * 30, 0.95) == (0.25, 0.25)


def test_interval_depends_on_the_scores_alone():
    found = task_interval(SKEWED, 0.95)
    assert task_interval(SKEWED[::-1], 0.95) == found
    means = {f"task{number}": value for number, value in enumerate(SKEWED)}
    assert over_tasks(means, 0.95) == {"mean": pytest.approx(np.mean(SKEWED)), "low": found[0], "high": found[1], "tasks": 12}


def test_paired_interval_of_few_tasks_is_that_of_the_paired_t_test():
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.5, 0.2, 9), generator.normal(0.4, 0.2, 9)
    wanted = stats.ttest_rel(first, second).confidence_interval(0.95)
    names = [f"task{number}" for number in range(9)]
    difference = paired(dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True)), 0.95)
    assert (difference["low"], difference["high"]) == pytest.approx((wanted.low, wanted.high))
    assert difference["mean"] == pytest.approx(first.mean() - second.mean())
    assert difference["tasks"] == 9


def test_pairing_uses_shared_tasks_only():
    assert paired({"a": 1.0, "b": 0.5}, {"b": 0.2, "c": 0.0}, 0.95) == {
        "mean": pytest.approx(0.3),
        "low": None,
        "high": None,
        "tasks": 1,
    }


def test_one_task_has_a_mean_and_no_interval_and_two_have_one():
    assert over_tasks({"a": 0.25}, 0.95) == {"mean": 0.25, "low": None, "high": None, "tasks": 1}
    half = 12.7062 * 0.25  # t quantile of one degree of freedom, standard error 0.25
    assert t_interval([0.0, 0.5], 0.95) == pytest.approx((0.25 - half, 0.25 + half), abs=1e-4)


def coverage(interval, draw, mean, runs):
    intervals = [interval(draw().tolist(), 0.95) for _ in range(runs)]
    return np.mean([low <= mean <= high for low, high in intervals])


@pytest.mark.parametrize(("tasks", "runs"), [(30, 600), (119, 300)])
def test_95_percent_intervals_cover_the_mean_of_a_task_population(tasks, runs):
    generator, examples = np.random.default_rng(tasks), 20

    def scores():  # each task has its own accuracy, most of them low, and is measured on 20 examples
        return generator.binomial(examples, generator.beta(1, 3, tasks)) / examples

    assert 0.93 <= coverage(task_interval, scores, 0.25, runs) <= 0.97


def test_the_bootstrap_covers_skewed_scores_oftener_than_students_interval():
    generator, mean = np.random.default_rng(7), 0.3 / 2.3
    drawn = [generator.beta(0.3, 2, 30) for _ in range(500)]
    by = [coverage(interval, iter(drawn).__next__, mean, len(drawn)) for interval in (t_interval, task_interval)]
    assert by[1] > by[0] + 0.015
    assert by[1] >= 0.925


@pytest.mark.parametrize("away", [-0.2, -0.05, 0.02, 0.1])
def test_the_p_value_is_the_level_at_which_the_interval_reaches_zero(away):
    values = [value - np.mean(SKEWED) + away for value in SKEWED]
    p_value = task_p_value(values)
    low, high = task_interval(values, 1 - p_value)
    assert (low if away > 0 else high) == pytest.approx(0, abs=0.0012)  # resampled means lie that far apart
    assert low <= np.mean(values) <= high


def test_a_mean_far_from_zero_has_the_p_value_that_resamples_can_tell():
    values = [value + 10 for value in SKEWED]
    assert 0 < task_p_value(values) < 0.005
    assert task_p_value([-value for value in values]) == pytest.approx(task_p_value(values), rel=0.6)


def test_of_symmetric_values_without_skew_it_is_half_a_resample_by_students_t():
    edge = stats.norm.ppf(0.5 / 10_000) * np.sqrt(11 / 12)
    assert task_p_value([0.99, 1.01] * 6) == pytest.approx(2 * stats.t.cdf(edge, 11), rel=0.02)


@pytest.mark.parametrize("tasks", [10, 30, 119])
def test_without_an_effect_5_percent_of_one_seeds_differences_are_called_found(tasks):
    generator, runs = np.random.default_rng(tasks), 300
    found = [task_p_value(generator.normal(0, 0.1, tasks).tolist()) for _ in range(runs)]
    assert 0.025 <= np.mean(np.array(found) < 0.05) <= 0.085
