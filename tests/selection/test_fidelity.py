from itertools import combinations
from statistics import fmean

import pytest

from instune.selection.fidelity import best, by_group, by_parts, chance, cross_fit, halves, held_out, overlap, single_changes

GROUPS = {"p3": ["a", "b", "c", "d"], "bbh": ["u", "v", "w"]}
TARGETS = [name for names in GROUPS.values() for name in names]


def test_overlap_counts_a_task_listed_twice_once():
    assert overlap(["a", "b", "c"], ["c", "a", "a", "d"]) == 2
    assert overlap(["a", "a"], ["a", "b"]) == 1


def test_chance_is_the_mean_over_all_draws():
    published = {0, 1, 2}
    draws = [len(published & set(draw)) for draw in combinations(range(7), 2)]
    assert chance(2, 3, 7) == pytest.approx(fmean(draws))


def test_each_group_is_split_in_two_and_every_target_is_in_one_half():
    first, second = halves(GROUPS, 0)
    assert sorted(first + second) == sorted(TARGETS)
    assert [len(set(half) & set(GROUPS["p3"])) for half in (first, second)] == [2, 2]
    assert [len(set(half) & set(GROUPS["bbh"])) for half in (first, second)] == [1, 2]
    assert halves({name: names[::-1] for name, names in GROUPS.items()}, 0) == (first, second)
    assert len({tuple(halves(GROUPS, seed)[0]) for seed in range(20)}) > 5


def test_all_settings_that_tie_are_best():
    scores = {"one": {"a": 1, "b": 2}, "two": {"a": 2, "b": 1}, "three": {"a": 3, "b": -1}}
    assert best(scores, ["a", "b"]) == ["one", "two"]
    assert best(scores, ["b"]) == ["one"]


def test_each_part_is_chosen_by_its_mean_over_all_settings_with_it():
    one, two = {"x": 1.0, "y": 0.0, "z": 3.0}, {"a": 3.0, "b": 4.0}
    scores = {f"{left} | {right}": {"t": one[left] + two[right], "u": 0.0} for left in one for right in two}
    scores["x | a"] = {"t": 7.5, "u": 0.0}  # one lucky setting: the best, but its first part is not
    assert best(scores, ["t"]) == ["x | a"]
    assert by_parts(scores, ["t"]) == ["z | a"]  # of x, z: (7.5 + 5) / 2, (6 + 7) / 2; of a, b: 16.5 / 3, 16 / 3


def test_a_target_never_takes_part_in_the_choice_that_it_is_measured_by():
    first, _ = halves(GROUPS, 3)
    scores = {"likes first": {name: 5.0 * (name in first) for name in TARGETS}, "even": dict.fromkeys(TARGETS, 1.0)}
    result, chosen = cross_fit(scores, GROUPS, 3)
    assert chosen == [["likes first"], ["even"]]
    assert result == {name: 1.0 if name in first else 0.0 for name in TARGETS}
    assert max(fmean(row.values()) for row in scores.values()) > fmean(result.values())  # chosen on all it would look better


def test_tied_settings_are_measured_by_their_mean_on_the_table_that_is_reported():
    chosen_by = {"one": dict.fromkeys(TARGETS, 1.0), "two": dict.fromkeys(TARGETS, 1.0), "worse": dict.fromkeys(TARGETS, 0.0)}
    reported = {"one": dict.fromkeys(TARGETS, 4.0), "two": dict.fromkeys(TARGETS, 1.0), "worse": dict.fromkeys(TARGETS, 9.0)}
    assert cross_fit(chosen_by, GROUPS, 0, reported=reported)[0] == dict.fromkeys(TARGETS, 2.5)


def test_the_interval_is_of_the_first_split_and_the_spread_of_all():
    scores = {"one": {name: float(number % 3) for number, name in enumerate(TARGETS)}, "two": dict.fromkeys(TARGETS, 0.9)}
    measured = held_out(scores, GROUPS, range(6), {"list": scores})["best setting"]["measured"]["list"]["p3"]
    runs = [fmean(cross_fit(scores, GROUPS, seed)[0][name] for name in GROUPS["p3"]) for seed in range(6)]
    assert measured["mean"] == pytest.approx(runs[0])
    assert measured["splits"] == pytest.approx([min(runs), fmean(runs), max(runs)])
    assert measured["tasks"] == 4


def test_a_single_change_is_paired_over_targets_and_others_are_left_out():
    scores = {
        "x | a": {"t": 1.0, "u": 5.0, "v": 9.0},
        "y | a": {"t": 2.0, "u": 6.0, "v": 10.0},
        "x | b": {"t": 0.0, "u": 0.0, "v": 0.0},
        "y | b": {"t": 7.0, "u": 7.0, "v": 7.0},
    }
    changes = single_changes(scores, "x | a", ["t", "u", "v"])
    assert set(changes) == {"y", "b"}
    assert changes["y"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "tasks": 3}
    assert changes["b"]["mean"] == -5.0


def test_groups_are_summed_up_apart():
    summaries = by_group({"a": 1.0, "b": 3.0, "c": 9.0}, {"one": ["a", "b"], "two": ["c"]})
    assert [(row["mean"], row["tasks"]) for row in summaries.values()] == [(2.0, 2), (9.0, 1)]
