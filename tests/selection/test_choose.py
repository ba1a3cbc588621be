import json
from dataclasses import replace

import numpy as np
import pytest

from instune.errors import InputError
from instune.records import Task
from tests.selection.choosing import ANGLES, CALL, EXAMPLES, TASKS, choose, example_rows, pool, rows_at


def test_by_instruction_the_nearest_wordings_decide():
    chosen = choose("instruction", top_k=3, **CALL)
    assert [choice["task_id"] for choice in chosen["targets"]["target"]] == ["b", "a", "d"]
    assert [choice["score"] for choice in chosen["targets"]["target"]] == [round(np.cos(angle), 6) for angle in (0.2, 0.4, 0.6)]
    assert chosen["targets"]["target"][1]["votes"] == [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert chosen["selected"] == ["a", "b", "d"]
    assert chosen["margin"]["target"] == pytest.approx(np.cos(0.6) - np.cos(1.2), abs=2e-6)
    assert chosen["truncated"] == 1
    assert (chosen["method"], chosen["top_k"]) == ("instruction", 3)
    json.dumps(chosen, allow_nan=False)


def test_votes_are_left_out_where_none_are_counted():
    chosen = choose("instruction", top_k=2, **CALL | {"aggregation": "mean"})
    assert [(choice["task_id"], choice["votes"]) for choice in chosen["targets"]["target"]] == [("b", []), ("d", [])]
    assert chosen["margin"]["target"] == pytest.approx(np.cos(0.6) - (np.cos(0.9) + np.cos(0.4)) / 2, abs=2e-6)


@pytest.mark.parametrize("without", ["target", "c"])
def test_a_task_without_instruction_cannot_be_compared(without):
    tasks = TASKS | {without: Task(without, "tiny", "chat", "", ("",))}
    with pytest.raises(InputError, match=f"task {without} has no instruction to compare"):
        choose("instruction", top_k=1, **CALL | {"tasks": tasks})
    assert choose("all", top_k=1, **CALL | {"tasks": tasks})["selected"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("method", ["random", "all", "category", "examples", "hidden_states", "gradient"])
def test_the_methods_named_as_the_way_out_need_no_instruction(method):
    tasks = {name: Task(name, "tiny", "chat", "", ("",)) for name in TASKS}
    with pytest.raises(InputError, match=rf"needs no instruction \(.*{method}"):
        choose("bm25", top_k=1, **CALL | {"tasks": tasks})
    chosen = choose(method, top_k=1, **CALL | {"tasks": tasks, "rows": example_rows(EXAMPLES)})
    assert len(chosen["targets"]["target"]) == (4 if method == "all" else 1)


def test_nothing_left_out_has_no_margin():
    assert choose("instruction", top_k=4, **CALL)["margin"] == {"target": None}


def test_more_tasks_than_there_are_is_refused_with_their_number():
    for method in ("instruction", "random"):
        with pytest.raises(InputError, match=r"select.top_k: 5 .* 1 to 4"):
            choose(method, top_k=5, **CALL)


def test_all_takes_every_source_whatever_top_k_says():
    chosen = choose("all", top_k=99, **CALL)
    assert chosen["selected"] == ["a", "b", "c", "d"]
    assert chosen["targets"]["target"][0] == {"task_id": "a", "score": None, "votes": []}
    assert chosen["top_k"] is None


def test_random_depends_on_seed_and_target_alone():
    sources = [f"s{number:02}" for number in range(40)]

    def draw(seed, targets, order):
        arguments = CALL | {"tasks": dict.fromkeys(sources, TASKS["a"]), "sources": order, "targets": targets, "seed": seed}
        return choose("random", top_k=8, **arguments)["targets"]

    first = draw(0, ["x", "y"], sources)
    assert first["x"] == draw(0, ["x"], sources[::-1])["x"]
    assert first["x"] != first["y"]
    assert first["x"] != draw(1, ["x"], sources)["x"]
    assert len({choice["task_id"] for choice in first["x"]}) == 8


def test_a_target_is_never_its_own_source():
    chosen = choose("instruction", top_k=4, **CALL)
    assert "target" not in chosen["selected"]


def test_a_wording_repeated_within_a_task_votes_once():
    twice = {**TASKS, "a": replace(TASKS["a"], wordings=("same", "same"))}
    rows = rows_at(twice, ANGLES | {"a": [0.1, 0.1]})
    chosen = choose("instruction", top_k=4, **CALL | {"tasks": twice, "rows": rows})
    assert chosen["targets"]["target"][0] == {"task_id": "a", "score": round(np.cos(0.1), 6), "votes": [1] + [0] * 9}


def test_a_wording_shared_by_two_tasks_is_resolved_by_task_id():
    rows = rows_at(TASKS, ANGLES | {"d": [0.2]})
    chosen = choose("instruction", top_k=4, **CALL | {"rows": rows})
    assert [choice["task_id"] for choice in chosen["targets"]["target"]] == ["b", "d", "a", "c"]


@pytest.mark.parametrize("task", ["target", "c"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_embeddings_are_refused_by_task(task, value):
    rows = rows_at(TASKS, ANGLES)
    rows.vectors[rows.task_ids.index(task), 0] = value
    with pytest.raises(InputError, match=f"task {task}:"):
        choose("instruction", top_k=1, **CALL | {"rows": rows})


def test_a_task_without_embedding_is_refused():
    rows = rows_at({name: task for name, task in TASKS.items() if name != "c"}, ANGLES)
    with pytest.raises(InputError, match="task c: wording 0 has no embedding"):
        choose("instruction", top_k=1, **CALL | {"rows": rows})


def test_only_the_first_wordings_of_a_target_are_compared_where_so_many_are_asked_for():
    several = {**TASKS, "target": replace(TASKS["target"], wordings=("t0", "t0", "t1", "t2"))}
    rows = rows_at(several, ANGLES | {"target": [0.0, 0.0, 0.2, 1.2]})
    arguments = CALL | {"tasks": several, "rows": rows, "aggregation": "mean"}

    def order(limit):
        chosen = choose("instruction", top_k=4, max_target_wordings=limit, **arguments)["targets"]["target"]
        return [choice["task_id"] for choice in chosen]

    def by_hand(angles):
        means = {
            name: np.mean([np.cos(own - angle) for own in ANGLES[name] for angle in angles]) for name in ("a", "b", "c", "d")
        }
        return sorted(means, key=means.get, reverse=True)

    assert order(2) == by_hand([0.0, 0.2])
    assert order(None) == order(9) == by_hand([0.0, 0.2, 1.2])
    assert order(2) != order(None)


def test_a_cap_takes_the_best_of_each_category_and_moves_the_margin():
    draw = np.random.default_rng(3)
    names = [f"s{number:02}" for number in range(30)]
    tasks = {name: Task(name, "tiny", f"c{number % 4}", name, (name,)) for number, name in enumerate(names)}
    tasks["target"] = Task("target", "tiny", "c0", "t", ("t",))
    angles = {"target": [0.0]} | {name: [float(draw.uniform(0.1, 1.5))] for name in names}
    arguments = CALL | {"tasks": tasks, "sources": names, "rows": rows_at(tasks, angles)}
    for cap in (1, 2, 3, 8):
        kept = []
        for name in sorted(names, key=lambda name: angles[name]):
            if sum(tasks[other].category == tasks[name].category for other in kept) < cap:
                kept.append(name)
        count = min(4, len(kept))
        chosen = choose("instruction", top_k=count, per_category_cap=cap, **arguments)
        assert [choice["task_id"] for choice in chosen["targets"]["target"]] == kept[:count]
        left = [name for name in sorted(names, key=lambda name: angles[name]) if name in kept[count:]]
        gap = np.cos(angles[kept[count - 1][:]][0]) - np.cos(angles[left[0]][0]) if left else None
        assert chosen["margin"]["target"] == (pytest.approx(gap, abs=2e-6) if left else None)


@pytest.mark.parametrize("method", ["instruction", "random", "category"])
def test_a_cap_that_leaves_too_few_is_refused_with_what_is_left(method):
    tasks = {name: replace(task, category="one") for name, task in TASKS.items()}
    with pytest.raises(InputError, match=r"select.per_category_cap: 2 leaves 2 of select.top_k 3 .* target"):
        choose(method, top_k=3, per_category_cap=2, **CALL | {"tasks": tasks})
    assert choose("all", top_k=3, per_category_cap=2, **CALL | {"tasks": tasks})["selected"] == ["a", "b", "c", "d"]


def test_a_larger_random_choice_holds_the_smaller_one():
    sources = [f"s{number:02}" for number in range(40)]
    arguments = CALL | {"sources": sources, "tasks": dict.fromkeys([*sources, "target"], TASKS["a"])}
    small, large = (set(choose("random", top_k=k, **arguments)["selected"]) for k in (5, 9))
    assert small < large


def test_category_takes_the_targets_own_then_others_by_seed_and_counts_these():
    sources = [f"s{number:02}" for number in range(40)]
    tasks = {name: Task(name, "tiny", f"c{number % 8}", name, (name,)) for number, name in enumerate(sources)}
    tasks["target"] = Task("target", "tiny", "c3", "t", ("t",))
    arguments = CALL | {"sources": sources, "tasks": tasks}
    own = {name for name in sources if tasks[name].category == "c3"}
    assert len(own) == 5
    few = choose("category", top_k=3, **arguments)
    assert set(few["selected"]) < own
    assert few["filled"] == {"target": 0}
    many = choose("category", top_k=9, **arguments)
    assert own < set(many["selected"])
    assert many["filled"] == {"target": 4}
    assert many["selected"] != choose("category", top_k=9, **arguments | {"seed": 1})["selected"]
    assert choose("random", top_k=9, **arguments)["filled"] == {}


def test_category_refuses_a_target_whose_category_has_no_source():
    with pytest.raises(InputError, match=r"category knows nothing of 1 of 1 target.*'target' of target"):
        choose("category", top_k=1, **CALL)


def test_bm25_needs_no_vectors_and_finds_the_wording_that_shares_rare_words():
    tasks = pool(
        {
            "target": ("Count the vowels of the word.",),
            "a": ("Count the words of the sentence.",),
            "b": ("Tell how many vowels the word holds.", "Name the vowels."),
            "c": ("Translate the sentence.",),
        }
    )
    chosen = choose("bm25", top_k=3, **CALL | {"tasks": tasks, "sources": ["a", "b", "c"], "rows": None})
    assert [choice["task_id"] for choice in chosen["targets"]["target"]] == ["b", "a", "c"]
    assert chosen["targets"]["target"][2]["score"] == 0.0
    assert sum(chosen["targets"]["target"][0]["votes"]) == 2


def test_by_shared_words_a_wording_that_shares_none_does_not_vote_for_the_first_tasks():
    tasks = pool(
        {
            "target": ("Translate sentence French.", "Übertrage Satz Französische."),
            "a": ("Describe forecast tomorrow.", "Predict rainfall amount.", "Guess temperature outside."),
            "b": ("Sort numbers ascending.",),
            "c": ("Translate sentence French.",),
        }
    )
    chosen = choose("bm25", top_k=2, **CALL | {"tasks": tasks, "sources": ["a", "b", "c"], "rows": None})
    assert [choice["task_id"] for choice in chosen["targets"]["target"]] == ["c", "a"]
    assert [sum(choice["votes"]) for choice in chosen["targets"]["target"]] == [1, 0]
