"""A user's own tables."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instune.errors import InputError
from instune.pools import plain
from instune.pools.problems import Problems

ROW = {"task": "colour", "instruction": "Name it.", "input": "sky", "output": "blue"}


def read(folder, *, strict=True):
    problems = Problems(folder, strict=strict)
    return list(plain.read(folder, pool="p", problems=problems)), problems


def write(folder, *rows):
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_rows_of_a_task_are_gathered_with_every_wording(tmp_path):
    rows = [
        ROW | {"choices": ["blue", "red"]},
        ROW | {"task": "other", "split": "test", "category": "c"},
        ROW | {"instruction": "Which colour?", "choices": ["blue", "green"], "id": "x"},
    ]
    [(colour, examples), (other, _)], _ = read(write(tmp_path, *rows))
    assert (colour.task_id, colour.wordings, colour.metric, colour.split) == (
        "p:colour",
        ("Name it.", "Which colour?"),
        "choice",
        "train",
    )
    assert [(e.example_id, e.choices, e.wording_index) for e in examples] == [
        ("p:colour#0", ("blue", "red"), 0),
        ("p:colour:x", ("blue", "green"), 1),
    ]
    assert (other.metric, other.split, other.category) == ("rouge_l", "test", "c")


def test_words_that_look_like_missing_values_survive_csv(tmp_path):
    words = ["None", "NA", "null", "nan", "", "007", "1e5", "TRUE", " a ", "x\r\ny", "你\u0000👍", '"']
    cells = ['"' + word.replace('"', '""') + '"' for word in words]
    lines = "".join(f"t,i,{cell},{cell}\r\n" for cell in cells)
    (tmp_path / "t.csv").write_bytes(("\ufefftask,instruction,input,output\r\n" + lines).encode())
    [(_, examples)], _ = read(tmp_path)
    assert [example.input for example in examples] == words
    assert [example.references[0] for example in examples] == words


def test_choices_in_csv_are_one_cell(tmp_path):
    (tmp_path / "t.csv").write_text("task,instruction,input,output,choices\nt,i,x, b,a||| b\nt,i,y,b,\n")
    [(task, examples)], _ = read(tmp_path)
    assert ([example.choices for example in examples], task.metric) == ([("a", " b"), None], "rouge_l")


def test_parquet_and_a_json_list_give_the_same_as_lines(tmp_path):
    for name in ("lines", "list", "parquet"):
        (tmp_path / name).mkdir()
    rows = [ROW, ROW | {"input": "e\u0301 \u0000"}]
    write(tmp_path / "lines", *rows)
    (tmp_path / "list" / "t.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet" / "t.parquet")
    found = [read(tmp_path / name)[0] for name in ("lines", "list", "parquet")]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": None}, "output: expected text"),
        (
            {"output": "green", "choices": ["blue"]},
            "output: expected one of the choices (in CSV one cell, ||| between them, blanks count)",
        ),
        ({"instruction": " "}, "instruction: is empty; a task needs its instruction (for conversations: reader chat)"),
        ({"category": "other"}, "category: differs from the task's first one"),
        ({"id": 1.5}, "id: expected text or a whole number"),
        ({"split": "dev"}, "split: expected train or test"),
        ({"split": "test"}, "split: differs from the task's first row"),
        ({"choices": [1]}, "choices: expected a non-empty list of text"),
    ],
)
def test_a_bad_row_stops_or_is_counted(tmp_path, change, reason):
    write(tmp_path, ROW | {"category": "c"}, ROW | change)
    with pytest.raises(InputError, match=r"t\.jsonl: line 2") as error:
        read(tmp_path)
    assert reason in str(error.value)
    pairs, problems = read(tmp_path, strict=False)
    assert (len(pairs[0][1]), problems.counts) == (1, {reason: 1})


@pytest.mark.parametrize("body", ["task,instruction\nt\n", "task,instruction\nt,i,extra\n"])
def test_a_csv_row_of_another_width_is_a_bad_row(tmp_path, body):
    (tmp_path / "t.csv").write_text(body)
    assert read(tmp_path, strict=False)[1].counts == {"row has more or fewer cells than the header": 1}


def test_files_that_are_no_tables_are_bad_records(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"task\n\xff\n")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "d.csv").write_text('task\n"open')
    assert read(tmp_path, strict=False)[1].counts == {
        "not UTF-8 text": 1,
        "not a readable Parquet file": 1,
        "not a JSON list of objects": 1,
        "not valid CSV": 1,
    }


def test_no_position_equals_an_id(tmp_path):
    rows = [{}, {"id": "0"}, {"id": 1}, {"id": "#0"}, {"id": None}]
    [(_, examples)], _ = read(write(tmp_path, *[ROW | row for row in rows]))
    assert [example.example_id for example in examples] == ["p:colour#0", "p:colour:0", "p:colour:1", "p:colour:#0", "p:colour#4"]


def test_a_category_may_stand_in_any_row(tmp_path):
    [(task, examples)], _ = read(write(tmp_path, ROW, ROW | {"category": "c"}, ROW))
    assert (task.category, len(examples)) == ("c", 3)


def test_choices_that_do_not_fit_are_shown_with_their_separator(tmp_path):
    (tmp_path / "t.csv").write_text("task,instruction,input,output,choices\nt,i,x,blue,blue | red\n")
    with pytest.raises(InputError, match=r"\|\|\| between them.*Found: 'blue' among \['blue \| red'\]"):
        read(tmp_path)


def test_a_column_name_twice_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("task,instruction,input,output,input\nt,i,x,y,z\n")
    with pytest.raises(InputError, match=r"t\.csv: header: a column name stands there twice.*'input'"):
        read(tmp_path)


def test_a_column_without_a_name_is_a_column(tmp_path):
    (tmp_path / "t.csv").write_text(",task,instruction,input,output\n0,t,i,x,y\n")
    assert len(read(tmp_path)[0][0][1]) == 1
