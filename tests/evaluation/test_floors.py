from makers import make_task

from instune.evaluation.floors import floor_outputs, majority
from instune.evaluation.predictions import Prediction


def prediction(task_id: str, example_id: str, reference: str) -> Prediction:
    return Prediction(task_id, example_id, "?", "0", "", [reference, "other"], None, None, 1.0, 1, 1, 1, "stop", "m", [], False)


ROWS = [
    prediction("task1", "a", "yes"),
    prediction("task1", "b", "no"),
    prediction("task1", "c", "no"),
    prediction("task2", "d", "z"),
    prediction("task2", "e", "b"),
]


def test_majority_is_the_commonest_first_reference_of_each_task_and_ties_go_by_alphabet():
    assert majority(ROWS) == {"task1": "no", "task2": "b"}


def test_floors_by_hand():
    inputs = {row.place: f"input of {row.example_id}" for row in ROWS}
    bare = make_task(2)
    bare = type(bare)(bare.task_id, bare.pool, bare.category, bare.definition, bare.wordings)
    floors = floor_outputs(ROWS, {"task1": make_task(1), "task2": bare}, inputs)
    assert floors["majority"] == ["no", "no", "no", "b", "b"]
    assert floors["copied_input"] == ["input of a", "input of b", "input of c", "input of d", "input of e"]
    assert floors["copied_demonstration"] == ["blue", "blue", "blue", None, None]
