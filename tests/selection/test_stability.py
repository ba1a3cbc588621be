from itertools import combinations

import numpy as np
import pytest

from instune.errors import InputError
from instune.records import Task
from instune.selection.choose import choose
from instune.selection.compared import compare
from instune.selection.settings import Select
from instune.selection.stability import leave_one_wording_out, mean_pairwise_overlap, overlap
from instune.selection.table import Embeddings


def select_by(**changes):
    keys = {"method": "instruction", "aggregation": "max", "top_k": 2, "max_target_wordings": None}
    return Select(**keys | {"per_category_cap": None, "examples_per_task": None} | changes)


def pool(wordings):
    return {name: Task(name, "tiny", name[0], texts[0], tuple(texts)) for name, texts in wordings.items()}


def embeddings(tasks, vectors):
    keys = [(name, index) for name in tasks for index in range(len(tasks[name].wordings))]
    stacked = np.array([vectors[name][index] for name, index in keys], dtype=np.float32)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    places = np.array([index for _, index in keys])
    return Embeddings(tuple(name for name, _ in keys), places, stacked, np.zeros(len(keys), dtype=bool))


def chosen_by(select, tasks, target, sources, rows):
    made = choose(select, tasks=tasks, targets=[target], sources=sources, rows=rows, evaluated=1, seed=0)
    return [choice["task_id"] for choice in made["targets"][target]]


def held(select, tasks, target, sources, rows):
    ((_, found),) = compare(select, tasks=tasks, targets=[target], sources=sources, rows=rows)
    chosen = chosen_by(select, tasks, target, sources, rows)
    return leave_one_wording_out(found, select, tasks=tasks, sources=sources, chosen=chosen)


def test_by_hand_one_of_three_wordings_carries_half_of_the_choice():
    tasks = pool({"target": ("t0", "t1", "t2"), "a": ("a0",), "b": ("b0",), "c": ("c0",)})
    near = {"target": [(1, 0, 0), (1, 0.1, 0), (0, 0, 1)], "a": [(1, 0, 0)], "b": [(0, 0.1, 1)], "c": [(0.4, 0.6, 0)]}
    rows = embeddings(tasks, near)
    assert chosen_by(select_by(), tasks, "target", ["a", "b", "c"], rows) == ["a", "b"]
    # without t0 and without t1: a, b again; without t2: a, c
    assert held(select_by(), tasks, "target", ["a", "b", "c"], rows) == {"mean": pytest.approx(5 / 6, abs=1e-6), "min": 0.5}


def random_case(seed):
    draw, tasks = np.random.default_rng(seed), {"target": [f"t{number}" for number in range(5)]}
    tasks |= {f"{'ab'[number % 2]}{number}": [f"{number} {part}" for part in range(1 + number % 3)] for number in range(9)}
    tasks = pool(tasks)
    return tasks, sorted(set(tasks) - {"target"}), {name: draw.normal(size=(len(tasks[name].wordings), 6)) for name in tasks}


@pytest.mark.parametrize("aggregation", ["vote", "max", "mean", "mean_of_max"])
@pytest.mark.parametrize("changes", [{}, {"per_category_cap": 2}, {"max_target_wordings": 3}])
def test_leaving_a_wording_out_equals_choosing_for_a_target_that_never_had_it(aggregation, changes):
    tasks, sources, vectors = random_case(7)
    select = select_by(aggregation=aggregation, top_k=4, **changes)
    count = select.max_target_wordings or 5
    whole, shares = set(chosen_by(select, tasks, "target", sources, embeddings(tasks, vectors))), []
    for left_out in range(count):
        kept = [place for place in range(count) if place != left_out]
        texts = tuple(tasks["target"].wordings[place] for place in kept)
        smaller = tasks | {"target": Task("target", "tiny", "t", texts[0], texts)}
        rows = embeddings(smaller, vectors | {"target": vectors["target"][kept]})
        shares.append(len(whole & set(chosen_by(select, smaller, "target", sources, rows))) / 4)
    assert min(shares) < 1
    found = held(select, tasks, "target", sources, embeddings(tasks, vectors))
    assert found == {"mean": pytest.approx(sum(shares) / count, abs=1e-6), "min": min(shares)}


def test_shared_words_hold_as_far_as_they_are_said_twice():
    wordings = {"target": ("sort numbers", "rank figures"), "a": ("sort numbers",), "b": ("rank figures",), "c": ("paint",)}
    tasks = pool(wordings)
    select = select_by(method="bm25", aggregation="max", top_k=1)
    assert chosen_by(select, tasks, "target", ["a", "b", "c"], None) == ["a"]
    assert held(select, tasks, "target", ["a", "b", "c"], None) == {"mean": 0.5, "min": 0.0}


def test_wordings_that_share_no_word_do_not_vote_when_another_is_left_out():
    wordings = {"target": ("translate French", "zebra", "quagga"), "a": ("forecast", "rainfall"), "z": ("French",)}
    tasks, select = pool(wordings), select_by(method="bm25", aggregation="vote", top_k=1)
    assert chosen_by(select, tasks, "target", ["a", "z"], None) == ["z"]
    # only without the first wording is nothing known, and the first task taken
    assert held(select, tasks, "target", ["a", "z"], None) == {"mean": pytest.approx(2 / 3, abs=1e-6), "min": 0.0}


def test_a_target_with_one_distinct_wording_has_no_stability():
    tasks = pool({"target": ("same", "same"), "a": ("a0",), "b": ("b0",)})
    rows = embeddings(tasks, {"target": [(1, 0), (1, 0)], "a": [(1, 1)], "b": [(0, 1)]})
    assert held(select_by(top_k=1), tasks, "target", ["a", "b"], rows) is None
    tasks = pool({"target": ("one", "other"), "a": ("a0",), "b": ("b0",)})
    assert held(select_by(top_k=1, max_target_wordings=1), tasks, "target", ["a", "b"], rows) is None


def selection(**targets):
    return {"targets": {target: [{"task_id": task_id} for task_id in ids] for target, ids in targets.items()}}


def test_overlap_of_several_choices_is_the_mean_over_their_pairs():
    sets = ["abcd", "abce", "abef", "wxyz"]
    by_hand = [3, 2, 0, 3, 0, 0]
    assert [4 * overlap(one, other) for one, other in combinations(sets, 2)] == by_hand
    found = mean_pairwise_overlap([selection(t=ids, u="abcd") for ids in sets])
    assert found == {"t": pytest.approx(sum(by_hand) / 24), "u": 1.0}


@pytest.mark.parametrize("other", [selection(t="abc"), selection(u="ab"), selection(t="ab", u="ab")])
def test_choices_of_other_sizes_or_targets_have_no_overlap(other):
    with pytest.raises(InputError, match="selection 2 and selection 1 have other targets"):
        mean_pairwise_overlap([selection(t="ab"), other])
    with pytest.raises(InputError, match="two or more"):
        mean_pairwise_overlap([other])
