from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from instune.evaluation.crossed import crossed, half_width, holm, mean_squares, one_way, smallest_effect
from instune.evaluation.statistics import task_interval, task_p_value

# Standard deviations of tasks, of seeds and of the rest: seeds that hardly move, that move as paired differences do, as much as
# tasks, that dominate, that do not move at all; tasks that differ by noise alone, and nothing but noise.
SETTINGS = [
    (0.2, 0.02, 0.05),
    (0.1, 0.03, 0.05),
    (0.05, 0.05, 0.05),
    (0.02, 0.2, 0.05),
    (0.2, 0.0, 0.05),
    (0.0, 0.05, 0.05),
    (0.0, 0.0, 0.05),
]
DESIGNS = list(product([10, 30, 119], [3, 5, 10]))


def draw(generator, tasks, seeds, spread, mean=0.0, runs=None):
    """Scores (tasks, seeds), or (runs, tasks, seeds)."""
    of_task, of_seed, rest = spread
    many = () if runs is None else (runs,)
    return (
        mean
        + of_task * generator.standard_normal((*many, tasks, 1))
        + of_seed * generator.standard_normal((*many, 1, seeds))
        + rest * generator.standard_normal((*many, tasks, seeds))
    )


def misses(runs, draw_one, mean=0.0, confidence=0.95):
    """Share of runs whose interval leaves out `mean`; drawn in blocks of a thousand."""
    missed = [draw_one(1000) for _ in range(runs // 1000)]
    return np.mean([abs(values.mean((-2, -1)) - mean) > half_width(values, confidence) for values in missed])


def test_mean_squares_are_those_of_the_two_way_analysis_of_variance():
    values = draw(np.random.default_rng(0), 7, 4, (0.2, 0.1, 0.05))
    task, seed = np.indices(values.shape)
    table = anova_lm(ols("y ~ C(t) + C(s)", {"y": values.ravel(), "t": task.ravel(), "s": seed.ravel()}).fit())
    assert mean_squares(values) == pytest.approx(table["mean_sq"].tolist())


def test_many_matrices_at_once_are_each_computed_alone():
    values = draw(np.random.default_rng(5), 6, 3, (0.2, 0.1, 0.05), runs=4)
    alone = [half_width(one, 0.9) for one in values]
    assert half_width(values, 0.9) == pytest.approx(alone)
    assert crossed(values[0], 0.9).high - crossed(values[0], 0.9).low == pytest.approx(2 * alone[0])


@pytest.mark.parametrize(("tasks", "seeds"), DESIGNS)
@pytest.mark.parametrize("spread", SETTINGS, ids=str)
def test_95_percent_intervals_cover_between_93_and_97_percent(tasks, seeds, spread):
    generator = np.random.default_rng([tasks, seeds, SETTINGS.index(spread)])
    missed = misses(8000, lambda runs: draw(generator, tasks, seeds, spread, 0.3, runs), mean=0.3)
    assert 0.93 <= 1 - missed <= 0.97


@pytest.mark.parametrize(("tasks", "seeds"), DESIGNS)
def test_equal_methods_are_told_apart_in_four_to_six_percent_and_no_oftener_with_three_seeds(tasks, seeds):
    """Tasks and seeds move both methods more than a method moves a task; a score is the share of right answers out of 100."""
    generator = np.random.default_rng([tasks, seeds])

    def differences(runs):
        shared = draw(generator, tasks, seeds, (0.15, 0.04, 0.0), 0.5, runs)
        rates = [shared + draw(generator, tasks, seeds, (0.07, 0.02, 0.02), runs=runs) for _ in "ab"]
        first, second = (generator.binomial(100, np.clip(rate, 0, 1)) / 100 for rate in rates)
        return first - second

    assert (0.03 if seeds == 3 else 0.04) <= misses(8000, differences) <= 0.06


def test_an_interval_over_tasks_alone_covers_too_seldom_where_seeds_move_all_tasks():
    values = draw(np.random.default_rng(1), 30, 3, (0.1, 0.05, 0.05), runs=2000)
    assert (stats.ttest_1samp(values.mean(-1), 0, axis=1).pvalue > 0.05).mean() < 0.8


def test_the_smallest_effect_is_found_four_times_in_five():
    generator, spread = np.random.default_rng(2), (0.1, 0.02, 0.05)
    smallest = np.mean([crossed(draw(generator, 30, 5, spread), 0.95).smallest_effect for _ in range(200)])
    assert 0.77 <= misses(4000, lambda runs: draw(generator, 30, 5, spread, smallest, runs)) <= 0.85


def test_half_width_by_hand():
    # mean squares 1, 0.25 and 0.25, from means of tasks 0.5, 1.5 and of seeds 0.75, 1.25 (one degree of freedom each)
    values = np.array([[0.5, 0.5], [1.0, 2.0]])
    assert mean_squares(values) == pytest.approx((1.0, 0.25, 0.25))
    own = stats.t.ppf(0.975, 1)
    matched = max((1 + 0.25 - 0.25) ** 2 / (1 + 0.25**2 + 0.25**2), 1)
    satterthwaite = stats.t.ppf(0.975, matched) * 1.0
    banerjee = own * np.sqrt(1 + 0.25 - 0.75 * 0.25)
    assert half_width(values, 0.95) == pytest.approx((satterthwaite + banerjee) / 2 / 2)


def test_means_that_happen_to_agree_leave_a_width():
    # exact match on few examples: two tasks and two seeds, each with the same mean
    found = crossed(np.array([[0.1, 0.0], [0.0, 0.1]]), 0.95)
    assert found.low < 0 < found.high
    assert found.p_value > 0.05


def test_seeds_that_agree_leave_the_t_interval_over_tasks():
    means = np.random.default_rng(3).normal(0.3, 0.2, 12)
    wanted = stats.t.interval(0.95, 11, loc=means.mean(), scale=stats.sem(means))
    found = crossed(np.repeat(means[:, None], 4, axis=1), 0.95)
    assert (found.low, found.high) == pytest.approx(wanted)
    assert found.p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue, rel=1e-6)


def test_p_value_is_the_level_at_which_the_interval_reaches_zero():
    values = draw(np.random.default_rng(4), 10, 3, (0.2, 0.05, 0.05), mean=0.1)
    found = crossed(values, 0.95)
    assert crossed(values, 1 - found.p_value).low == pytest.approx(0, abs=1e-9)


def test_equal_scores_everywhere_differ_from_zero_only_if_they_are_not_zero():
    assert crossed(np.zeros((3, 2)), 0.95).p_value == 1
    assert crossed(np.full((3, 2), 0.5), 0.95).p_value < 1e-9


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.zeros((3, 1)), np.zeros(3), np.full((2, 2), np.nan)])
def test_too_few_tasks_or_seeds_and_nan_are_errors(values):
    with pytest.raises(ValueError, match="at least two tasks"):
        crossed(values, 0.95)


def test_holm_is_that_of_statsmodels():
    for count in (1, 9):
        p_values = np.random.default_rng(count).uniform(size=count) ** 3
        wanted = multipletests(p_values, method="holm")[1]
        found = holm({str(place): value for place, value in enumerate(p_values)})
        assert [found[str(place)] for place in range(count)] == pytest.approx(wanted.tolist())


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"only": 0.2}) == {"only": 0.2}


@pytest.mark.parametrize(("tasks", "seeds"), [(10, 3), (12, 5), (30, 3), (119, 5)])
@pytest.mark.parametrize("spread", [(0.2, 0.02, 0.05), (0.1, 0.03, 0.05), (0.05, 0.05, 0.05), (0.2, 0.0, 0.05)], ids=str)
def test_an_effect_of_the_smallest_size_is_found_four_times_out_of_five(tasks, seeds, spread):
    generator, runs = np.random.default_rng([tasks, seeds, round(100 * spread[1]), 7]), 400
    smallest = np.mean([smallest_effect(draw(generator, tasks, seeds, spread), 0.95) for _ in range(runs)])
    drawn = (draw(generator, tasks, seeds, spread, smallest) for _ in range(runs))
    found = sum(abs(values.mean()) > half_width(values, 0.95) for values in drawn) / runs
    assert (0.64 if seeds == 3 else 0.7) <= found <= 0.88


@pytest.mark.parametrize("shape", [(9, 1), (1, 5), (1, 12)])
def test_few_tasks_under_one_seed_or_one_task_leave_students_t(shape):
    values = np.random.default_rng(5).normal(0.4, 1, shape)
    truth = stats.ttest_1samp(values.ravel(), 0)
    found = one_way(values, 0.95)
    assert (found.low, found.high) == pytest.approx(tuple(truth.confidence_interval(0.95)))
    assert found.p_value == pytest.approx(truth.pvalue)
    assert (found.tasks, found.seeds) == shape
    error = values.std(ddof=1) / np.sqrt(values.size)
    free = values.size - 1
    assert found.smallest_effect == pytest.approx((stats.t.ppf(0.975, free) + stats.t.ppf(0.8, free)) * error)


def test_ten_tasks_under_one_seed_have_the_bootstrap_of_a_single_run():
    values = np.random.default_rng(5).exponential(0.4, (12, 1)) - 0.1
    found = one_way(values, 0.95)
    assert (found.low, found.high) == task_interval(values.ravel().tolist(), 0.95)
    assert found.p_value == task_p_value(values.ravel().tolist())
    assert (found.low > 0) == (found.p_value < 0.05)


def test_one_way_without_spread_and_of_values_that_it_cannot_say_anything_about():
    assert one_way(np.zeros((3, 1)), 0.95).p_value == 1
    assert one_way(np.full((3, 1), 0.5), 0.95).p_value < 1e-9
    for values in (np.zeros((1, 1)), np.zeros((2, 2)), np.array([[np.nan, 1.0]])):
        with pytest.raises(ValueError, match="of one task under seeds"):
            one_way(values, 0.95)
