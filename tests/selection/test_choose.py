import json
from dataclasses import replace

import numpy as np
import pytest

from instune.errors import InputError
from instune.records import Task
from instune.selection.choose import choose
from instune.selection.table import Embeddings


def pool(wordings):
    return {name: Task(name, "tiny", "c", texts[0], texts) for name, texts in wordings.items()}


def rows_at(tasks, angles):
    """One unit vector in the plane per wording, at the given angle."""
    flat = [(name, index, angle) for name in tasks for index, angle in enumerate(angles[name])]
    vectors = np.array([[np.cos(angle), np.sin(angle)] for *_, angle in flat], dtype=np.float32)
    return Embeddings(
        tuple(name for name, *_ in flat),
        np.array([index for _, index, _ in flat]),
        vectors,
        np.array([angle > 1 for *_, angle in flat]),
    )


TASKS = pool({"target": ("t0",), "a": ("a0", "a1"), "b": ("b0",), "c": ("c0",), "d": ("d0",)})
ANGLES = {"target": [0.0], "a": [0.9, 0.4], "b": [0.2], "c": [1.2], "d": [0.6]}
CALL = {
    "tasks": TASKS,
    "targets": ["target"],
    "sources": ["d", "c", "b", "a"],
    "rows": rows_at(TASKS, ANGLES),
    "seed": 0,
    "aggregation": "vote",
}


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
        arguments = CALL | {"sources": order, "targets": targets, "seed": seed}
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
