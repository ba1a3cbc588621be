"""What every pool keeps whatever its reader."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from instune.errors import InputError
from instune.pools.problems import Problems
from instune.pools.readers import PoolName, PoolSettings, read_pool

SETTINGS = {"reader": "super_natural_instructions", "instances_per_task": 9, "test_instances_per_task": 9, "language": "English"}


def pool(raw, *, strict):
    settings = TypeAdapter(PoolSettings).validate_python(SETTINGS)
    problems = Problems(raw / "p", strict=strict)
    return list(read_pool(raw, "p", settings, problems)), problems


def test_the_first_of_equal_ids_is_kept(tmp_path, clone, record):
    same = [{"id": "a", "input": "1", "output": ["x"]}, {"id": "a", "input": "2", "output": ["y"]}]
    clone(tmp_path / "p", {"task001_a": record(1, Instances=same)}, train=["task001_a"])
    [(_, examples)], problems = pool(tmp_path, strict=False)
    assert [example.input for example in examples] == ["1"]
    assert problems.counts == {"example id: used before in this pool": 1}
    with pytest.raises(InputError, match="'a'"):
        pool(tmp_path, strict=True)


def test_a_task_without_instances_is_left_out_and_counted(tmp_path, clone, record):
    clone(tmp_path / "p", {"task001_a": record(1), "task002_b": record(2, instances=0)}, train=["task001_a", "task002_b"])
    pairs, problems = pool(tmp_path, strict=True)
    assert [task.task_id for task, _ in pairs] == ["task001_a"]
    assert problems.first == {"task without instances": "task002_b"}


def test_a_pool_that_is_absent_or_empty_is_refused(tmp_path, clone):
    with pytest.raises(InputError, match="dvc add --out"):
        pool(tmp_path, strict=True)
    clone(tmp_path / "p", {})
    with pytest.raises(InputError, match="no task was found"):
        pool(tmp_path, strict=True)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "."])
def test_a_pool_name_is_never_a_path(name):
    with pytest.raises(ValidationError):
        TypeAdapter(PoolName).validate_python(name)
