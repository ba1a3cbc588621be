"""What every pool keeps whatever its reader."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from instune.errors import InputError
from instune.pools.problems import Problems
from instune.pools.readers import LOOKS_FOR, READERS, PoolName, PoolSettings, read_pool

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


@pytest.mark.parametrize(
    ("reader", "files", "message"),
    [
        ("plain", {"t.tsv": "task\tinput"}, r"Left out: nothing\..*looks for \*\.jsonl, .*\*\.hub\.json\..*There are: 't\.tsv'"),
        ("plain", {"t.csv": "task,instruction"}, r"Left out: \{'table without rows': 1\}.*There are: 't\.csv'"),
        ("plain", {}, r"There are: no files"),
        ("bbh", {f"{name}.txt": "" for name in "abcde"}, r"bbh/\*\.json.*There are: 'a\.txt', 'b\.txt', 'c\.txt' and 2 more"),
    ],
)
def test_what_the_reader_looks_for_and_what_is_there_is_said(tmp_path, reader, files, message):
    (tmp_path / "p").mkdir()
    for name, body in files.items():
        (tmp_path / "p" / name).write_text(body)
    settings = TypeAdapter(PoolSettings).validate_python({"reader": reader})
    with pytest.raises(InputError, match=f"(?s){message}"):
        list(read_pool(tmp_path, "p", settings, Problems(tmp_path / "p", strict=True)))


def test_every_local_reader_says_what_it_looks_for():
    assert LOOKS_FOR.keys() == READERS.keys() - {"hub"}


def test_a_task_that_comes_again_is_left_out_example_by_example(tmp_path):
    for place, count in (("bbh/a", 2), ("bbh/b", 2), ("tasks/a", 3)):
        path = tmp_path / "p" / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"examples": [{"input": "x", "target": "y"}] * count}))
    (tmp_path / "p/descriptions.json").write_text('{"a": "Do.", "b": "Do."}')
    problems = Problems(tmp_path / "p", strict=False)
    pairs = list(read_pool(tmp_path, "p", TypeAdapter(PoolSettings).validate_python({"reader": "bbh"}), problems))
    assert ([task.task_id for task, _ in pairs], problems.counts) == (["p:a", "p:b"], {"task id: used before in this pool": 3})


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "."])
def test_a_pool_name_is_never_a_path(name):
    with pytest.raises(ValidationError):
        TypeAdapter(PoolName).validate_python(name)
