from makers import make_task

from instune.evaluation.floors import floor_outputs, questions_of
from instune.evaluation.predictions import Prediction
from instune.records import Example


def prediction(task_id: str, example_id: str, reference: str) -> Prediction:
    return Prediction(task_id, example_id, "?", "0", "", [reference, "other"], None, None, 1.0, 1, 1, 1, "stop", "m", [], False)


ROWS = [
    prediction("task1", "a", "yes"),
    prediction("task1", "b", "no"),
    prediction("task1", "c", "no"),
    prediction("task2", "d", "z"),
    prediction("task2", "e", "b"),
]


def example(task_id: str, example_id: str, reference: str) -> Example:
    return Example(task_id, example_id, f"input of {example_id}", (reference, "other"))


POOL = [example(row.task_id, row.example_id, row.references[0]) for row in ROWS]


def test_majority_is_the_commonest_first_reference_of_each_task_and_ties_go_by_alphabet():
    assert questions_of(POOL, set()).frequent == {"task1": "no", "task2": "b"}


def test_majority_counts_all_of_a_tasks_examples_and_inputs_are_those_that_were_asked():
    more = [*POOL, example("task1", "f", "yes"), example("task1", "g", "yes")]
    found = questions_of(more, {row.place for row in ROWS[:2]})
    assert found.frequent == {"task1": "yes", "task2": "b"}
    assert found.inputs == {("task1", "a"): "input of a", ("task1", "b"): "input of b"}


def test_floors_by_hand():
    bare = make_task(2)
    bare = type(bare)(bare.task_id, bare.pool, bare.category, bare.definition, bare.wordings)
    floors = floor_outputs(ROWS, {"task1": make_task(1), "task2": bare}, questions_of(POOL, {row.place for row in ROWS}))
    assert floors["majority"] == ["no", "no", "no", "b", "b"]
    assert floors["copied_input"] == ["input of a", "input of b", "input of c", "input of d", "input of e"]
    assert floors["copied_demonstration"] == ["blue", "blue", "blue", None, None]
