"""The order of examples and the tasks held out."""

from __future__ import annotations

from itertools import islice

import pytest
from makers import make_example, make_task

from instune.errors import InputError
from instune.tuning.mixture import round_robin, split_validation

SIZES = {"task0": 3, "task1": 1, "task2": 2}


def examples_of(sizes):
    return {name: [make_example(make_task(int(name[4:])), number) for number in range(size)] for name, size in sizes.items()}


def test_one_example_of_each_task_in_turn_and_none_twice_in_a_pass():
    stream = list(islice(round_robin(examples_of(SIZES), seed=0), 12))
    assert [number for number, _ in stream] == [0] * 6 + [1] * 6
    for start in (0, 6):
        block = [example for _, example in stream[start : start + 6]]
        assert len({example.example_id for example in block}) == 6
        assert {example.task_id for example in block[:3]} == set(SIZES)
        assert {example.task_id for example in block[3:5]} == {"task0", "task2"}
        assert block[5].task_id == "task0"


def test_order_depends_on_the_seed_alone():
    def ids(seed, sizes):
        return [example.example_id for _, example in islice(round_robin(examples_of(sizes), seed=seed), 12)]

    assert ids(0, SIZES) == ids(0, dict(reversed(SIZES.items())))
    assert len({tuple(ids(seed, SIZES)) for seed in range(5)}) > 1


def test_no_examples_no_stream():
    assert list(round_robin({"task0": []}, seed=0)) == []


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 1), (0.2, 2), (0.5, 5)])
def test_validation_tasks_are_a_seeded_share(share, count):
    names = [f"task{number}" for number in range(10)]
    training, validation = split_validation(names, share=share, seed=0)
    assert len(validation) == count
    assert sorted(training + validation) == sorted(names)
    assert training == [name for name in names if name in training]
    assert (training, validation) == split_validation(names, share=share, seed=0)


def test_validation_must_leave_a_task():
    with pytest.raises(InputError, match=r"finetune\.validation_share"):
        split_validation(["task0"], share=0.1, seed=0)
