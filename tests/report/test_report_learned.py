from dataclasses import replace

import pytest

from instune.report.learned import SHOWN_TASKS, checks, what
from instune.report.page import render
from tests.report.made import LEARNED, load
from tests.report.parsed import Page

ATTACK = "<script>alert(1)</script>"
EXTRACTED = {
    "exemplars": 1,
    "draw_seed": None,
    "candidates": {
        "task1": [
            {"example_id": "a", "input": "The sky.", "output": ATTACK, "probability": [0.75]},
            {"example_id": "b", "input": "A leaf.", "output": "green", "probability": [0.25]},
        ],
        "task0": [{"example_id": "c", "input": "word " * 100, "output": "red", "probability": [1.0]}],
    },
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return replace(load(tmp_path_factory.mktemp("run")), finetune_curves={}, optimize=LEARNED)


def shown(inputs, **facts):
    return Page(render(replace(inputs, instructions={"kind": "any", "settings": {}} | facts)))


def test_the_chosen_exemplar_of_every_task_stands_with_its_probability(inputs):
    page = shown(inputs, settings=EXTRACTED)
    assert ["task1", f"The sky. → {ATTACK}", "0.75"] in page.rows
    (long,) = [row for row in page.rows if row[0] == "task0"]
    assert long[1].endswith("… → red")
    assert len(long[1]) < 175
    assert not any("A leaf." in cell for row in page.rows for cell in row)
    assert len(page.scripts) == 2


def test_several_exemplars_are_numbered_and_drawn_or_converted_ones_say_so():
    two = what({"settings": EXTRACTED | {"exemplars": 2}})
    assert [row[0] for row in two["shown"]] == ["task0, 1", "task1, 1", "task1, 2"]
    assert "of which every row draws" in what({"settings": EXTRACTED | {"draw_seed": 3}})["caption"]
    backwards = EXTRACTED | {"candidates": {name: rows[::-1] for name, rows in EXTRACTED["candidates"].items()}}
    converted = what({"settings": backwards | {"chosen": {}}})
    assert "every row has its own choice" in converted["caption"]
    assert converted["shown"][1] == ["task1", f"The sky. → {ATTACK}", "0.75"]
    assert what({"settings": EXTRACTED | {"exemplars": 0}}) is None


def test_weights_stand_heaviest_first_and_the_tail_unfolds():
    weights = {f"task{number:02}": float(number) for number in range(SHOWN_TASKS + 3)}
    found = what({"settings": {"weights": weights}})
    assert found["shown"][0] == ["task12", "12.000"]
    assert [row[0] for row in found["more"]] == ["task02", "task01", "task00"]


def test_soft_tokens_are_said_by_their_nearest_words_on_one_line(inputs):
    tokens = [{"token": "\n", "cosine": 0.25}, {"token": " red", "cosine": 0.5}]
    page = shown(inputs, nearest_tokens={"task0": tokens, "task1": tokens * 10})
    assert ["task0", "\\n  red", "0.375"] in page.rows
    (long,) = [row for row in page.rows if row[0] == "task1"]
    assert long[1].count("red") == 8
    assert long[1].endswith("…")


def test_exactness_and_outer_validation_are_told_by_fold(inputs):
    fold = LEARNED["folds"][0] | {
        "agreement": {"cosine": 0.99951, "norm_ratio": 1.002, "cosine_of_two_batches": 0.21},
        "validation_tasks": ["a", "b"],
        "validation": {"first": 2.0, "best": 1.5, "last": 1.75, "best_step": 4, "steps": 8},
    }
    first, second = checks(LEARNED | {"folds": [fold]})
    assert "float32 double backward 0.9995, norm ratio 1.0020; between two batches 0.2100." in first
    assert "loss on 2 tasks" in second
    assert "1.5000 after step 4 of 8, which was kept, and 1.7500 at the end." in second
    assert checks(LEARNED) == []
    assert first in render(replace(inputs, optimize=LEARNED | {"folds": [fold]}))


def test_where_all_stay_human_there_is_no_table(inputs):
    assert what({"kind": "human"}) is None
    assert "nearest token" not in render(inputs)
