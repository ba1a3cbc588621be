from itertools import combinations

import numpy as np
import pytest

from instune.errors import InputError
from instune.selection.pairs import REUSE, UNLIKE, Pairs, drawn, negatives, positives, split_tasks, training_and_development

WORDINGS = {f"task{number:02}": tuple(f"{number}-{index}" for index in range(5)) for number in range(30)}


def vectors(seed=0, width=4):
    draw = np.random.default_rng(seed)
    rows = {text: draw.normal(size=width) for texts in WORDINGS.values() for text in texts}
    return {text: (row / np.linalg.norm(row)).astype(np.float32) for text, row in rows.items()}


def owner(text):
    return f"task{int(text.split('-')[0]):02}"


def test_forty_percent_of_each_tasks_pairs_are_positives():
    chosen = positives(WORDINGS, 0.4, 0)
    assert len(chosen) == len(set(chosen)) == 30 * 4  # 4 of 10 pairs each
    assert all(owner(one) == owner(two) and one != two for one, two in chosen)
    assert chosen == positives(dict(reversed(WORDINGS.items())), 0.4, 0)
    assert chosen != positives(WORDINGS, 0.4, 1)


def test_a_fraction_of_a_pair_is_drawn_with_its_chance():
    twos = {f"t{number}": (f"{number} a", f"{number} b") for number in range(2000)}  # 0.4 of one pair each
    assert len(positives(twos, 0.4, 0)) == pytest.approx(800, abs=4 * np.sqrt(2000 * 0.4 * 0.6))


def test_all_pairs_leave_out_repeated_wordings_and_single_ones():
    wordings = {"a": ("x", "y", "x", "z"), "b": ("alone",)}
    assert sorted(positives(wordings, 1.0, 0)) == sorted(combinations(("x", "y", "z"), 2))


def test_negatives_are_of_another_task_unlike_and_not_reused_too_often():
    base = vectors()
    pairs, without = negatives(WORDINGS, base, 0)
    assert len(pairs) + without == 150
    assert without < 30
    for one, two in pairs:
        assert owner(one) != owner(two)
        assert base[one] @ base[two] < UNLIKE
    seconds = [two for _, two in pairs]
    assert max(map(seconds.count, seconds)) <= REUSE
    assert (pairs, without) == negatives(dict(reversed(WORDINGS.items())), base, 0)


def test_where_everything_is_alike_the_search_ends_and_counts():
    alike = {text: np.array([1, 0], dtype=np.float32) for texts in WORDINGS.values() for text in texts}
    assert negatives(WORDINGS, alike, 0) == ([], 150)


def test_training_and_development_share_no_task():
    train, development, _ = training_and_development(WORDINGS, vectors(), 0)
    tasks = [{owner(text) for text in (*pairs.first, *pairs.second)} for pairs in (train, development)]
    assert not tasks[0] & tasks[1]
    assert len(tasks[1]) == 6
    assert len(tasks[0]) == 24
    assert sum(development.labels) == 6 * 10  # every pair
    assert development.labels.count(0.0) == 30  # one per wording
    assert sum(train.labels) == 24 * 4
    for pairs in (train, development):
        assert [owner(one) == owner(two) for one, two in zip(pairs.first, pairs.second, strict=True)] == [
            label == 1 for label in pairs.labels
        ]


def test_development_tasks_have_two_wordings():
    wordings = {**{f"single{number}": (f"s{number}",) for number in range(50)}, "a": ("a", "b"), "b": ("c", "d"), "c": ("e", "f")}
    train, development = split_tasks(wordings, 0)
    assert len(development) == 2
    assert set(development) < {"a", "b", "c"}
    assert set(train) | set(development) == set(wordings)


def test_a_pool_of_single_wordings_is_refused():
    with pytest.raises(InputError, match="2 of 12 have them"):
        split_tasks({**{f"s{number}": ("x", "x") for number in range(10)}, "a": ("a", "b"), "b": ("c", "d")}, 0)


def test_so_many_pairs_of_each_label_are_drawn_whatever_their_order():
    train, _, _ = training_and_development(WORDINGS, vectors(), 0)
    few = drawn(train, 7, 0)
    rows = list(zip(train.first, train.second, train.labels, strict=True))
    assert few.labels == (1.0,) * 7 + (0.0,) * 7
    kept = list(zip(few.first, few.second, few.labels, strict=True))
    assert set(kept) < set(rows)
    assert len(set(kept)) == 14
    backwards = Pairs(*(side[::-1] for side in (train.first, train.second, train.labels)))
    assert drawn(backwards, 7, 0) == few
    assert drawn(train, 7, 1) != few
    assert sorted(zip(*vars(drawn(train, 10_000, 0)).values(), strict=True)) == sorted(rows)
