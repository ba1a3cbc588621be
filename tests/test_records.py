"""Tasks and examples survive Parquet unchanged, and a failed write leaves nothing."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import make_example, make_task

from instune import records
from instune.errors import InputError
from instune.records import Example, Exemplar, Message, Task, read_examples, read_tasks, write_examples, write_tasks

TEXTS = ["None", "NA", "null", "nan", "007", " leading", "trailing \n", "", "\r\n", "漢字", "e\u0301", "🙂", "a\x00b", "1e-5"]


def test_text_comes_back_unchanged(tmp_path):
    examples = [Example("t", f"t-{n}", text, (text, "x"), choices=(text,), wording_index=n) for n, text in enumerate(TEXTS)]
    examples.append(Example("t", "chat", "", ("b",), messages=(Message("user", "a\n"), Message("assistant", "b"))))
    assert records.write_examples(tmp_path / "examples.parquet", examples) == len(examples)
    assert list(records.read_examples(tmp_path / "examples.parquet")) == examples


def test_tasks_come_back_unchanged_and_in_order(tmp_path):
    tasks = [make_task(2), make_task(1), Task("t", "p", "c", "d", ("d",), ("x",), (Exemplar("i", "o", "e"),), metric="choice")]
    records.write_tasks(tmp_path / "tasks.parquet", tasks)
    assert list(records.read_tasks(tmp_path / "tasks.parquet").values()) == tasks


def test_only_the_examples_of_the_named_tasks_are_read(tmp_path):
    examples = [make_example(make_task(number % 3), number) for number in range(9)]
    records.write_examples(tmp_path / "examples.parquet", examples)
    found = list(records.read_examples(tmp_path / "examples.parquet", ["task1"]))
    assert found == [example for example in examples if example.task_id == "task1"]


def test_no_named_task_is_no_example(tmp_path):
    records.write_examples(tmp_path / "examples.parquet", [make_example(make_task(0), 0)])
    assert list(records.read_examples(tmp_path / "examples.parquet", [])) == []


def test_row_groups_do_not_change_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROWS_PER_GROUP", 2)
    examples = [make_example(make_task(0), number) for number in range(5)]
    records.write_examples(tmp_path / "examples.parquet", iter(examples))
    assert list(records.read_examples(tmp_path / "examples.parquet")) == examples
    examples = [make_example(make_task(number % 3), number) for number in range(9)]
    records.write_examples(tmp_path / "examples.parquet", iter(examples))
    found = list(records.read_examples(tmp_path / "examples.parquet", ["task2", "task0"]))
    assert found == [example for example in examples if example.task_id != "task1"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "examples.parquet"
    records.write_examples(path, [make_example(make_task(0), 0)])
    before = path.read_bytes()

    def broken():
        yield make_example(make_task(0), 1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        records.write_examples(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-20], lambda data: data[:4] + b"x" * 60 + data[64:]])
def test_a_broken_table_is_refused_with_its_name(tmp_path, tiny_pool, damage):
    tasks, examples = tmp_path / "tasks.parquet", tmp_path / "examples.parquet"
    write_tasks(tasks, tiny_pool[0].values())
    write_examples(examples, tiny_pool[1])
    for path, read in ((tasks, read_tasks), (examples, read_examples)):
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(InputError, match=rf"{path.name}: not a readable Parquet file.*dvc repro"):
            list(read(path))
        path.unlink()
        with pytest.raises(InputError, match=f"{path.name}: not found"):
            list(read(path))


def test_another_table_is_refused_with_the_columns_that_it_does_not_have(tmp_path):
    for read in (read_tasks, read_examples):
        pq.write_table(pa.table({"task_id": ["a"]}), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=r"a\.parquet: .*missing"):
            list(read(tmp_path / "a.parquet"))
