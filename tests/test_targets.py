"""What is a target is never a source."""

from __future__ import annotations

import pytest

from instune.errors import InputError
from instune.targets import Targets, source_tasks, target_tasks


@pytest.mark.parametrize(
    ("by", "values", "expected"),
    [
        ("split", ["test"], ["task6", "task7"]),
        ("tasks", ["task3", "task0"], ["task0", "task3"]),
        ("categories", ["category2"], ["task2", "task5"]),
    ],
)
def test_targets_are_found_in_pool_order_and_left_out_of_the_sources(tiny_pool, by, values, expected):
    tasks, _ = tiny_pool
    targets = Targets(by=by, values=values, examples_per_task=1)
    assert target_tasks(tasks, targets) == expected
    sources = source_tasks(tasks, targets)
    assert not set(sources) & set(expected)
    assert all(tasks[task_id].split == "train" for task_id in sources)


def test_an_unknown_target_is_named_with_near_ones(tiny_pool):
    with pytest.raises(InputError, match=r"'taks3'.*task3"):
        target_tasks(tiny_pool[0], Targets(by="tasks", values=["taks3"], examples_per_task=1))


def test_no_target_and_no_source_are_refused(tiny_pool):
    with pytest.raises(InputError, match=r"targets\.values: is empty"):
        target_tasks(tiny_pool[0], Targets(by="tasks", values=[], examples_per_task=1))
    with pytest.raises(InputError, match="no training task is left"):
        source_tasks(tiny_pool[0], Targets(by="pool", values=["tiny"], examples_per_task=1))
