"""BIG-bench JSON tasks in both layouts."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import bigbench
from instune.pools.problems import BadRecord, Problems

PUBLISHED = Path("../shared/data/bigbench")


def read(folder, *, strict=True, limit=100):
    problems = Problems(folder, strict=strict)
    return list(bigbench.read(folder, pool="bb", problems=problems, examples_per_task=limit)), problems


def write(folder, path, **changes):
    record = {
        "name": "n",
        "description": "Adds numbers.",
        "keywords": ["arithmetic"],
        "preferred_score": "exact_str_match",
        "examples": [{"input": "1+1", "target": "2"}],
    }
    file = folder / "bigbench/benchmark_tasks" / path / "task.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({key: value for key, value in (record | changes).items() if value is not None}))


@pytest.mark.parametrize(
    ("row", "references"),
    [
        ({"target": "a"}, ("a",)),
        ({"target": ["a", "b"]}, ("a", "b")),
        ({"target_scores": {"x": 0, "y": 1, "z": 1.0}}, ("y",)),
        ({"target_scores": {"x": -2, "y": -1}}, ("y",)),
        ({"target": "w", "target_scores": {"x": 0, "y": 1}}, ("w",)),
    ],
)
def test_the_target_is_given_or_the_first_of_the_best(row, references):
    assert bigbench.references_of(row, bigbench.scored_choices(row)) == references


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"target_scores": {"x": 1, "y": 1}},
        {"target_scores": {"x": 0}},
        {"target_scores": {"x": "1"}},
        {"target_scores": {"x": float("nan"), "y": 1}},
        {"target_scores": {"x": float("inf"), "y": 1}},
        {"target_scores": {"x": 10**400, "y": 1}},
        {"target": []},
        {"target": 3},
    ],
)
def test_a_row_without_a_target_is_refused(row):
    with pytest.raises(BadRecord):
        bigbench.references_of(row, bigbench.scored_choices(row))


def test_choices_follow_the_input_unless_switched_off(tmp_path):
    rows = [{"input": "Q", "target_scores": {"b": 0, "a": 1}}]
    choice = {"examples": rows, "preferred_score": "multiple_choice_grade"}
    write(tmp_path, "on", **choice)
    write(tmp_path, "own", **choice, choice_prefix=" | ")
    write(tmp_path, "off", **choice, append_choices_to_input=False)
    found = {task.task_id: (task.metric, example.input, example.choices) for task, [example] in read(tmp_path)[0]}
    assert found == {
        "bb:off": ("choice", "Q", ("b", "a")),
        "bb:on": ("choice", "Q\n  choice: b\n  choice: a", ("b", "a")),
        "bb:own": ("choice", "Q | b | a", ("b", "a")),
    }


def test_the_prefix_is_the_instruction_and_the_description_another_wording(tmp_path):
    write(tmp_path, "plain")
    write(tmp_path, "parent/child", task_prefix="Add: ", preferred_score="rougeLsum")
    write(tmp_path, "parent", examples=None)
    (tmp_path / "bigbench/benchmark_tasks/played").mkdir()
    (tmp_path / "bigbench/benchmark_tasks/played/task.py").write_text("")
    pairs, problems = read(tmp_path)
    child, plain = (task for task, _ in pairs)
    assert (child.task_id, child.wordings, child.metric, child.category) == (
        "bb:parent:child", ("Add: ", "Adds numbers."), "rouge_l", "parent",
    )  # fmt: skip
    assert (plain.wordings, plain.metric, plain.split) == (("Adds numbers.",), "exact_match", "test")
    assert problems.counts == {
        "parent of subtasks, without examples of its own": 1,
        "programmatic task, without task.json": 1,
    }


def test_the_packed_source_gives_what_the_folder_gives(tmp_path):
    write(tmp_path / "plain", "one", examples=[{"input": str(i), "target": "x"} for i in range(5)])
    write(tmp_path / "plain", "two/sub")
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed/bigbench-1.0.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "plain", "bigbench-1.0.0")
    folder, packed = read(tmp_path / "plain", limit=3)[0], read(tmp_path / "packed", limit=3)[0]
    assert sorted(packed, key=lambda pair: pair[0].task_id) == folder
    assert [len(examples) for _, examples in folder] == [3, 1]


def test_bad_examples_and_broken_files_stop_or_are_counted(tmp_path):
    write(tmp_path, "one", examples=[{"input": "a", "target": "b"}, {"target": "b"}])
    write(tmp_path, "two")
    (tmp_path / "bigbench/benchmark_tasks/two/task.json").write_text("{")
    with pytest.raises(InputError, match=r"one/task\.json: examples\[1\]: input: missing"):
        read(tmp_path)
    pairs, problems = read(tmp_path, strict=False)
    assert (len(pairs), problems.counts) == (1, {"input: missing": 1, "not valid JSON": 1})


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
def test_the_published_sample_is_read_whole():
    pairs, problems = read(PUBLISHED, limit=1000)
    with gzip.open(PUBLISHED / "examples-00.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    inputs = {example.example_id: example.input for _, examples in pairs for example in examples}
    assert (len(pairs), len(inputs), problems.counts) == (920, len(rows), {})
    by_task = {}
    for row in rows:
        by_task.setdefault(f"bb:{row['task'].replace('/', ':')}", []).append((row["index"], row["input"]))
    for task, examples in pairs:
        originals = [text for _, text in sorted(by_task[task.task_id])]
        assert all(example.input.startswith(text) for example, text in zip(examples, originals, strict=True))
