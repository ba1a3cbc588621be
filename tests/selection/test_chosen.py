"""Which examples a selection lets a run train on."""

from __future__ import annotations

import pytest
from makers import make_example, make_task

from instune.records import write_examples
from instune.selection.chosen import chosen_examples


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"selected": ["task0", "task2"], "examples": None}, ["task0-0", "task2-2", "task0-3", "task2-5"]),
        ({"selected": ["task0", "task2"]}, ["task0-0", "task2-2", "task0-3", "task2-5"]),
        ({"selected": ["task0", "task2"], "examples": {"task0": ["task0-3"], "task2": ["task2-2"]}}, ["task2-2", "task0-3"]),
        ({"selected": [], "examples": None}, []),
    ],
)
def test_named_examples_of_selected_tasks_alone(tmp_path, selection, expected):
    write_examples(tmp_path / "examples.parquet", [make_example(make_task(number % 3), number) for number in range(6)])
    assert [example.example_id for example in chosen_examples(tmp_path / "examples.parquet", selection)] == expected
