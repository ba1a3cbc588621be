import numpy as np
import pytest

from instune.errors import InputError
from instune.selection.rank import ROWS, UNIT, VOTES, check_finite, count_votes, nearest, rank, similarity


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ranked_by_loops(targets, sources, owners, tasks):
    """The rule of INSTA's deleted code with exact integers: each vote adds 1000^(10 - rank); then cosine, then task."""
    weights, best = [0] * tasks, [-2.0] * tasks
    for target in targets:
        cosines = [round(float(np.float32(target @ source)), 6) for source in sources]
        for position, cosine in enumerate(cosines):
            best[owners[position]] = max(best[owners[position]], cosine)
        order = sorted(range(len(sources)), key=lambda position: (-cosines[position], position))
        for place, position in enumerate(order[:10]):
            weights[owners[position]] += 1000 ** (10 - place)
    return sorted(range(tasks), key=lambda task: (-weights[task], -best[task], task))


@pytest.mark.parametrize("seed", range(20))
def test_the_order_equals_that_of_nested_loops(seed):
    draw = np.random.default_rng(seed)
    tasks = int(draw.integers(1, 30))
    owners = np.sort(np.concatenate([np.arange(tasks), draw.integers(0, tasks, size=draw.integers(0, 60))]))
    # vectors from a small set, so that equal cosines and repeated wordings are common
    stock = unit(draw.integers(-1, 2, size=(12, 4)) + 1e-3)
    sources, targets = stock[draw.integers(0, 12, len(owners))], stock[draw.integers(0, 12, draw.integers(1, 8))]
    assert rank(targets, sources, owners, tasks).order.tolist() == ranked_by_loops(targets, sources, owners, tasks)


def test_one_first_place_beats_many_second_places():
    # 12 target wordings at angle 0: task 0 has one exact match for the first of them only, task 1 is always close
    targets = np.array([[1000, 900, 500], [400, 900, 500], [400, 900, 500]])
    votes = count_votes(targets, np.array([0, 1, 2]), 3)
    assert votes[0, :3].tolist() == [1, 0, 2]
    assert votes[1, :3].tolist() == [2, 1, 0]
    assert votes[2, :3].tolist() == [0, 2, 1]
    assert votes.sum() == 9


def test_a_task_without_vote_follows_by_its_highest_cosine():
    angles = np.array([0.0] * VOTES + [0.5, 0.3])  # task 0 owns the ten nearest wordings
    sources = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    ranking = rank(unit([[1, 0]]), sources, np.array([0] * VOTES + [1, 2]), 3)
    assert ranking.order.tolist() == [0, 2, 1]
    assert ranking.votes[1:].sum() == 0
    assert ranking.scores.tolist() == [UNIT, round(np.cos(0.5) * UNIT), round(np.cos(0.3) * UNIT)]


def test_equal_scores_are_ordered_by_position():
    sources = unit([[1, 1]] * 40)
    assert rank(unit([[1, 0]]), sources, np.arange(40), 40).order.tolist() == list(range(40))


def test_scores_that_differ_below_a_millionth_are_equal():
    values = np.array([[1.0, 0.0]], dtype=np.float32)
    sources = np.array([[0.5, 0], [0.5 + 2e-7, 0], [0.5 - 2e-7, 0]], dtype=np.float32)
    assert similarity(values, sources).tolist() == [[500_000] * 3]
    assert nearest(similarity(values, sources), 2).tolist() == [[0, 1]]


def test_nearest_equals_a_stable_sort_with_ties_at_the_cut():
    draw = np.random.default_rng(1)
    values = draw.integers(0, 5, size=(30, 50)).astype(np.int32)
    for count in (1, 10, 49, 50, 70):
        expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
        assert np.array_equal(nearest(values, count), expected)


def scored_by_loops(targets, sources, owners, tasks, aggregation):
    scores = []
    for task in range(tasks):
        pairs = similarity(targets, sources)[:, owners == task].astype(float)  # (m, wordings of the task)
        value = {"vote": pairs.max(), "max": pairs.max(), "mean": pairs.mean(), "mean_of_max": pairs.max(axis=1).mean()}
        scores.append(value[aggregation])
    return np.array(scores)


@pytest.mark.parametrize("aggregation", ["vote", "max", "mean", "mean_of_max"])
@pytest.mark.parametrize("wordings", [1, 3, 3 * ROWS + 1])
def test_scores_equal_those_of_loops_over_tasks_in_one_block_or_many(aggregation, wordings):
    draw = np.random.default_rng(wordings)
    owners = np.sort(np.concatenate([np.arange(20), draw.integers(0, 20, size=40)]))
    targets, sources = unit(draw.normal(size=(wordings, 8))), unit(draw.normal(size=(60, 8)))
    ranking = rank(targets, sources, owners, 20, aggregation)
    expected = scored_by_loops(targets, sources, owners, 20, aggregation)
    np.testing.assert_allclose(ranking.scores, expected, atol=0.5)
    if aggregation == "vote":
        assert np.array_equal(ranking.votes, count_votes(similarity(targets, sources), owners, 20))
    else:
        assert ranking.order.tolist() == sorted(range(20), key=lambda task: (-ranking.scores[task], task))


def test_aggregations_differ_where_they_should():
    # task 0: one wording equal to the first target wording, one far; task 1: one wording between both target wordings
    targets, sources = unit([[1, 0], [0, 1]]), unit([[1, 0], [-1, -1], [1, 1]])
    orders = {how: rank(targets, sources, np.array([0, 0, 1]), 2, how).order.tolist() for how in ("max", "mean", "mean_of_max")}
    assert orders == {"max": [0, 1], "mean": [1, 0], "mean_of_max": [1, 0]}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused_by_task(value):
    vectors = np.zeros((3, 2), dtype=np.float32)
    vectors[1, 1] = value
    with pytest.raises(InputError, match="task b"):
        check_finite(vectors, ["a", "b", "c"])


def test_shares_of_0_cast_no_vote_and_cosines_below_0_do():
    shares, owners = np.array([[0, 0, 300, 0, 500], [0, 0, 0, 0, 0]], dtype=np.int32), np.arange(5)
    votes = count_votes(shares, owners, 5, only_positive=True)
    assert votes.sum() == 2
    assert (votes[4, 0], votes[2, 1]) == (1, 1)
    assert count_votes(np.array([[0, 1]]), np.arange(2), 2, only_positive=True)[:, 0].tolist() == [0, 1]  # a millionth does
    cosines = np.array([[-300, 0, 200, -100, 100]], dtype=np.int32)
    assert count_votes(cosines, owners, 5).sum(axis=1).tolist() == [1] * 5
    assert count_votes(cosines, owners, 5).argmax(axis=1).tolist() == [4, 2, 0, 3, 1]


@pytest.mark.parametrize("aggregation", ["vote", "max", "mean", "mean_of_max"])
def test_similarities_scores_and_votes_are_whole_numbers(aggregation):
    targets, sources = unit([[1, 0], [2, 1]]), unit([[1, 1], [1, 2], [3, 1]])
    assert similarity(targets, sources).dtype == np.int32
    ranking = rank(targets, sources, np.array([0, 0, 1]), 2, aggregation)
    assert all(np.issubdtype(values.dtype, np.integer) for values in (ranking.order, ranking.scores, ranking.votes))
    assert ranking.votes.shape == (2, VOTES)


def test_cosines_below_0_cast_votes_in_a_ranking_too():
    assert rank(unit([[1, 0]]), unit([[-1, 1], [-1, 2]]), np.array([0, 1]), 2).votes[:, :2].tolist() == [[0, 1], [1, 0]]
