"""Natural Instructions v1 in both layouts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import natural_instructions_v1 as v1
from instune.pools.problems import Problems
from instune.records import Exemplar

PUBLISHED = Path("../shared/data/natural_instructions_v1")
RECORD = {
    "Title": "Writing",
    "Prompt": "Write a question.",
    "Definition": "You are given a passage. ",
    "Things to Avoid": "-",
    "Emphasis & Caution": "Be short.",
    "Examples": {"Positive Examples": [{"input": "a", "output": "b", "reason": "c"}], "Negative Examples": ["-"]},
    "Instances": [{"input": f" {number}\r\n", "output": ["x", "y"]} for number in range(3)],
}


def read(folder, *, strict=True, limit=100):
    problems = Problems(folder, strict=strict)
    return list(v1.read(folder, pool="v1", problems=problems, instances_per_task=limit)), problems


def write(folder, **tasks):
    for name, record in tasks.items():
        (folder / f"{name}.json").write_text(json.dumps(record))
    (folder / "split.json").write_text(json.dumps({"train": ["subtask001_a"], "eval": ["subtask002_b"]}))
    return folder


def test_a_task_has_three_wordings_and_a_dash_is_nothing(tmp_path):
    pairs, problems = read(write(tmp_path, subtask001_a=RECORD, subtask002_b=RECORD, other=RECORD), limit=2)
    (task, examples), (held_out, _) = pairs
    assert task.wordings == (
        "You are given a passage. ",
        "Write a question.",
        "You are given a passage. \nEmphasis & Caution: Be short.",
    )
    assert (task.category, task.split, held_out.split) == ("Writing", "train", "test")
    assert (task.positive_examples, task.negative_examples) == ((Exemplar("a", "b", "c"),), ())
    assert [(e.example_id, e.input, e.references) for e in examples] == [
        ("subtask001_a:0", " 0\r\n", ("x", "y")),
        ("subtask001_a:1", " 1\r\n", ("x", "y")),
    ]
    assert problems.counts == {"task in no list of the split": 1}


def test_bad_records_stop_or_are_counted(tmp_path):
    broken = {**RECORD, "Instances": [{"input": "a"}, *RECORD["Instances"]]}
    write(tmp_path, subtask001_a=broken, subtask002_b={key: RECORD[key] for key in ("Title", "Instances")})
    with pytest.raises(InputError, match=r"subtask001_a\.json: Instances\[0\]: output: missing"):
        read(tmp_path)
    pairs, problems = read(tmp_path, strict=False)
    assert [len(examples) for _, examples in pairs] == [3]
    assert problems.counts == {"output: missing": 1, "Definition: missing": 1}


def test_a_folder_without_split_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"split\.json: not found"):
        read(tmp_path)
    (tmp_path / "split.json").write_text('{"train": "all"}')
    with pytest.raises(InputError, match="train: expected a non-empty list of text"):
        read(tmp_path)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
def test_the_published_tasks_are_read_whole():
    pairs, problems = read(PUBLISHED, limit=150)
    with gzip.open(PUBLISHED / "instances.jsonl.gz") as file:
        rows = sorted((row["task"], row["input"], row["output"]) for row in map(json.loads, file))
    assert sorted((e.task_id, e.input, list(e.references)) for _, examples in pairs for e in examples) == rows
    assert (Counter(task.split for task, _ in pairs), problems.counts) == ({"train": 49, "test": 12}, {})
