"""The Super-NaturalInstructions reader against clones written by hand and against the published files."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools.problems import Problems
from instune.pools.super_natural_instructions import read

PUBLISHED = Path("../shared/data/super_natural_instructions")
CLASSIFIED = (
    "Textual Entailment",
    "Cause Effect Classification",
    "Coreference Resolution",
    "Dialogue Act Recognition",
    "Answerability Classification",
    "Word Analogy",
)
GENERATED = (
    "Data to Text",
    "Grammar Error Correction",
    "Keyword Tagging",
    "Overlap Extraction",
    "Question Rewriting",
    "Title Generation",
)


def read_all(folder, *, strict=True, train=100, test=100, language="English"):
    problems = Problems(folder, strict=strict)
    settings = {"instances_per_task": train, "test_instances_per_task": test, "language": language}
    return list(read(folder, pool="superni", problems=problems, **settings)), problems


def write_lines(path: Path, rows: list[dict]) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def test_a_task_carries_every_field_of_its_file(tmp_path, clone, record):
    wordings = ["Second in the alphabet.", "First in the alphabet.", "Second in the alphabet."]
    folder = clone(tmp_path, {"task007_x": record(7, Definition=wordings)}, train=["task007_x"])
    [(task, examples)], _ = read_all(folder)
    assert (task.task_id, task.pool, task.category, task.split, task.license) == (
        "task007_x", "superni", "Title Generation", "train", "CC BY 4.0",
    )  # fmt: skip
    assert task.definition == "Second in the alphabet."
    assert task.wordings == ("Second in the alphabet.", "First in the alphabet.")
    assert [(e.input, e.output, e.explanation) for e in task.positive_examples] == [("a text", "A title", "it fits")]
    assert [e.output for e in task.negative_examples] == ["no"]
    assert (examples[0].example_id, examples[0].input) == ("task007-0", "text 7 0")
    assert examples[0].references == ("title 0", "name 0")


def test_tasks_come_in_the_order_of_their_numbers(tmp_path, clone, record):
    names = ["task1000_a", "task20_b", "task3_c"]
    folder = clone(tmp_path, {name: record(number) for number, name in enumerate(names)}, train=names)
    assert [task.task_id for task, _ in read_all(folder)[0]] == ["task3_c", "task20_b", "task1000_a"]


def test_the_first_instances_are_taken_by_split(tmp_path, clone, record):
    tasks = {"task001_a": record(1, instances=9), "task002_b": record(2, instances=9)}
    folder = clone(tmp_path, tasks, train=["task001_a"], test=["task002_b"])
    taken = {task.split: [e.example_id for e in examples] for task, examples in read_all(folder, train=2, test=4)[0]}
    assert taken == {"train": ["task001-0", "task001-1"], "test": [f"task002-{i}" for i in range(4)]}


@pytest.mark.parametrize("category", CLASSIFIED + GENERATED)
def test_the_metric_follows_the_category(tmp_path, clone, record, category):
    folder = clone(tmp_path, {"task001_a": record(1, Categories=[category, "Textual Entailment"])}, test=["task001_a"])
    [(task, _)], _ = read_all(folder)
    assert task.metric == ("exact_match" if category in CLASSIFIED else "rouge_l")


def test_excluded_unlisted_foreign_and_absent_tasks_are_counted_not_read(tmp_path, clone, record):
    tasks = {
        "task001_a": record(1),
        "task002_b": b"{ broken",
        "task003_c": b"{ broken too",
        "task004_d": record(4, Output_language=["English", "German"]),
    }
    folder = clone(tmp_path, tasks, train=["task001_a", "task004_d", "task005_e"], excluded=["task002_b"])
    pairs, problems = read_all(folder)
    assert [task.task_id for task, _ in pairs] == ["task001_a"]
    assert problems.counts == {
        "task excluded by the split": 1,
        "task in no list of the split": 1,
        "task not in English": 1,
        "task of the split that the pool does not hold": 1,
    }
    assert problems.first["task excluded by the split"] == "tasks/task002_b.json"


def test_any_language_follows_the_cross_lingual_split(tmp_path, clone, record):
    clone(tmp_path, {"task001_a": record(1, Input_language=["German"])}, track="xlingual", test=["task001_a"])
    [(task, _)], _ = read_all(tmp_path, language="any")
    assert task.split == "test"


def test_first_releases_are_read(tmp_path, clone, record):
    old = record(1, Definition="One string.", Instances=[{"input": "a", "output": ["b"]}])
    del old["Instruction_language"], old["Instance License"]
    [(task, examples)], _ = read_all(clone(tmp_path, {"task001_a": old}, train=["task001_a"]))
    assert (task.wordings, task.license, examples[0].example_id) == (("One string.",), "", "task001_a-0")


TEXT = "  \u4f60\u597d \U0001f600 e\u0301 \u00e9\r\nNone\u0000\u2028 NA\t "


@pytest.mark.parametrize("layout", ["clone", "lines"])
def test_text_stays_as_it_is(tmp_path, clone, record, layout):
    instance = {"id": "1", "input": TEXT, "output": [TEXT, ""]}
    if layout == "clone":
        clone(tmp_path, {"task001_a": record(1, Definition=[TEXT], Instances=[instance])}, train=["task001_a"])
    else:
        clone(tmp_path, {}, train=["task001_a"])
        write_lines(tmp_path / "definitions.jsonl.gz", [record(1, Definition=[TEXT]) | {"task": "task001_a"}])
        write_lines(tmp_path / "instances.jsonl.gz", [instance | {"task": "task001_a", "index": 0}])
    [(task, [example])], _ = read_all(tmp_path)
    assert (task.definition, example.input, example.references) == (TEXT, TEXT, (TEXT, ""))


def test_lines_are_joined_by_task_and_ordered_by_index(tmp_path, clone, record):
    clone(tmp_path, {}, train=["task001_a"], test=["task002_b"], excluded=["task003_c"])
    rows = [("task002_b", 5), ("task001_a", 7), ("task003_c", 0), ("task002_b", 0), ("task001_a", 2)]
    definitions = [record(number) | {"task": name} for number, name in enumerate(["task001_a", "task002_b", "task003_c"])]
    write_lines(tmp_path / "definitions.jsonl.gz", definitions)
    for part, chunk in enumerate((rows[:2], rows[2:])):
        instances = [{"task": t, "id": f"{t}-{i}", "index": i, "input": "x", "output": ["y"]} for t, i in chunk]
        write_lines(tmp_path / f"instances_{part}.jsonl.gz", instances)
    pairs, problems = read_all(tmp_path, test=1)
    assert {t.task_id: [e.example_id for e in examples] for t, examples in pairs} == {
        "task001_a": ["task001_a-2", "task001_a-7"],
        "task002_b": ["task002_b-0"],
    }
    assert problems.counts == {"task excluded by the split": 1}


BAD_INSTANCES = {
    "input: missing": {"id": "1", "output": ["a"]},
    "input: expected text": {"id": "1", "input": 3, "output": ["a"]},
    "output: missing": {"id": "1", "input": "a"},
    "output: expected a non-empty list of text": {"id": "1", "input": "a", "output": "a"},
    "id: expected text": {"id": 1, "input": "a", "output": ["a"]},
    "input: holds half of a surrogate pair": {"id": "1", "input": "\ud83d", "output": ["a"]},
}


@pytest.mark.parametrize("reason", BAD_INSTANCES)
def test_a_bad_instance_stops_or_is_counted(tmp_path, clone, record, reason):
    instances = [*record(1)["Instances"], BAD_INSTANCES[reason]]
    folder = clone(tmp_path, {"task001_a": record(1, Instances=instances)}, train=["task001_a"])
    with pytest.raises(InputError) as error:
        read_all(folder)
    assert f"tasks/task001_a.json: Instances[3]: {reason}." in str(error.value)
    assert "ingest.strict: false" in str(error.value)
    [(_, examples)], problems = read_all(folder, strict=False)
    assert len(examples) == 3
    assert (problems.counts, problems.first) == ({reason: 1}, {reason: "tasks/task001_a.json: Instances[3]"})


BAD_TASKS = {
    "not valid JSON": b'{"Definition": ["a"], ',
    "not UTF-8 text": '{"Definition": ["é"]}'.encode("latin-1"),
    "not a JSON object": b"[1, 2]",
    "Instances: missing": b'{"Definition": ["a"], "Categories": ["b"]}',
    "Instances: expected a list of objects": b'{"Definition": ["a"], "Categories": ["b"], "Instances": {"a": 1}}',
    "Definition: expected a non-empty list of text": b'{"Definition": [], "Categories": ["b"], "Instances": []}',
    "Categories: missing": b'{"Definition": ["a"], "Instances": []}',
    "Positive Examples: output: missing": (
        b'{"Definition": ["a"], "Categories": ["b"], "Positive Examples": [{"input": "a"}], "Instances": []}'
    ),
}


@pytest.mark.parametrize("reason", BAD_TASKS)
def test_a_bad_task_stops_or_is_counted(tmp_path, clone, record, reason):
    tasks = {"task001_a": record(1), "task002_b": BAD_TASKS[reason]}
    folder = clone(tmp_path, tasks, train=list(tasks))
    with pytest.raises(InputError, match=r"task002_b\.json") as error:
        read_all(folder)
    assert reason in str(error.value)
    pairs, problems = read_all(folder, strict=False)
    assert [task.task_id for task, _ in pairs] == ["task001_a"]
    assert problems.counts == {reason: 1}


def test_a_deeply_nested_file_is_a_bad_record(tmp_path, clone, record):
    tasks = {"task001_a": record(1), "task002_b": b"[" * 200_000}
    _, problems = read_all(clone(tmp_path, tasks, train=list(tasks)), strict=False)
    assert problems.counts == {"not valid JSON": 1}


def test_a_truncated_gzip_file_stops_or_is_counted(tmp_path, clone, record):
    clone(tmp_path, {}, train=["task001_a"])
    write_lines(tmp_path / "definitions.jsonl.gz", [record(1) | {"task": "task001_a"}])
    rows = [{"task": "task001_a", "id": str(i), "index": i, "input": f"{i * 7919}", "output": ["a"]} for i in range(2000)]
    write_lines(tmp_path / "instances.jsonl.gz", rows)
    whole = (tmp_path / "instances.jsonl.gz").read_bytes()
    (tmp_path / "instances.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"instances\.jsonl\.gz"):
        read_all(tmp_path)
    [(_, examples)], problems = read_all(tmp_path, strict=False)
    assert 0 < len(examples) <= 100
    assert problems.counts["not readable to its end"] == 1


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_gives_what_the_folder_gives(tmp_path, clone, record, suffix):
    tasks = {f"task{number:03}_a": record(number) for number in range(1, 5)}
    folder = clone(tmp_path / "plain", tasks, train=list(tasks)[:3], test=list(tasks)[3:])
    packed = tmp_path / "packed"
    packed.mkdir()
    if suffix == ".zip":
        with zipfile.ZipFile(packed / "clone.zip", "w") as archive:
            for path in sorted(folder.rglob("*.*")):
                archive.write(path, f"natural-instructions-2.8/{path.relative_to(folder)}")
    else:
        with tarfile.open(packed / "clone.tar.gz", "w:gz") as archive:
            archive.add(folder, "natural-instructions-2.8")
    (from_folder, _), (from_archive, _) = read_all(folder), read_all(packed)
    assert sorted(from_archive, key=lambda pair: pair[0].task_id) == from_folder
    assert [path.name for path in packed.iterdir()] == [f"clone{suffix}"]


def test_an_archive_member_that_leads_out_is_refused(tmp_path, clone, record):
    folder = clone(tmp_path / "plain", {"task001_a": record(1)}, train=["task001_a"])
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "clone.zip", "w") as archive:
        archive.writestr("../../tasks/task001_a.json", "{}")
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, f"clone/{path.relative_to(folder)}")
    with pytest.raises(InputError, match="leads out"):
        read_all(packed)
    pairs, problems = read_all(packed, strict=False)
    assert len(pairs) == 1
    assert problems.counts["archive member's name leads out of the archive"] > 0


def test_a_damaged_split_list_stops_or_is_counted(tmp_path, clone, record):
    folder = clone(tmp_path / "plain", {"task001_a": record(1)}, train=["task001_a"])
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "clone.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    whole = (packed / "clone.zip").read_bytes()
    assert whole.count(b"task001_a\n") == 1
    (packed / "clone.zip").write_bytes(whole.replace(b"task001_a\n", b"task002_a\n"))
    with pytest.raises(InputError, match=r"splits/default/train_tasks\.txt"):
        read_all(packed)
    pairs, problems = read_all(packed, strict=False)
    assert pairs == []
    assert problems.counts == {"not readable to its end": 1, "task in no list of the split": 1}


def test_a_folder_without_split_or_with_a_task_in_two_lists_is_refused(tmp_path, clone, record):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"splits/default/test_tasks\.txt: not found"):
        read_all(tmp_path / "empty")
    folder = clone(tmp_path / "both", {"task001_a": record(1)}, train=["task001_a"], test=["task001_a"])
    with pytest.raises(InputError, match="Keep it in one list"):
        read_all(folder)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
def test_the_published_files_are_read_whole():
    pairs, problems = read_all(PUBLISHED, train=200)
    rows = Counter()
    for path in sorted(PUBLISHED.glob("instances*.jsonl.gz")):
        with gzip.open(path) as file:
            rows.update(json.loads(line)["task"] for line in file)
    assert {task.task_id: len(examples) for task, examples in pairs if examples} == dict(rows)
    assert Counter(task.split for task, examples in pairs if examples) == {"train": 699, "test": 103}
    assert sum(len(examples) for task, examples in pairs if task.split == "test") == 10_210
    assert problems.counts == {"task excluded by the split": 738}
    assert len({task.category for task, _ in pairs if task.split == "test"}) == 12
