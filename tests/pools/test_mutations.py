"""Broken raw pools of every reader: no traceback, no file outside the outputs; strict stops, lenient counts."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from instune.errors import InputError
from instune.pools.problems import Problems
from instune.pools.readers import PoolSettings, read_pool
from instune.records import read_examples, write_examples, write_tasks
from tests.pools.conftest import make_record, write_clone

NAMES = ["task001_a", "task002_b"]
MUTANTS_PER_READER = 20
VALUES = [None, 7, 1.5, True, [], {}, "", [None], ["a", 3], {"a": []}, "x" * 200_000, "\ud800", "../../x", "\u0000", [[]] * 3]
ROW = {"task": "t", "instruction": "Do.", "input": "a", "output": "b", "choices": ["a", "b"], "id": "1"}
TEMPLATES = (
    "dataset: d\ntemplates: {i: !Template {name: n, jinja: '{{input}} ||| {{output}}', metadata: {original_task: true}}}\n"
)


def lines(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)


def superni(folder: Path) -> dict:
    write_clone(folder, {name: make_record(number) for number, name in enumerate(NAMES)}, train=NAMES[:1], test=NAMES[1:])
    return {"instances_per_task": 5, "test_instances_per_task": 5, "language": "English"}


def superni_zip(folder: Path) -> dict:
    settings = superni(folder / "clone")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with zipfile.ZipFile(folder / "clone.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder))
            path.unlink()
    return settings


def superni_lines(folder: Path) -> dict:
    write_clone(folder, {}, train=NAMES[:1], test=NAMES[1:])
    lines(folder / "definitions.jsonl.gz", *[make_record(number) | {"task": name} for number, name in enumerate(NAMES)])
    rows = [{"task": name, "id": f"{name}-{i}", "index": i, "input": "x", "output": ["y"]} for name in NAMES for i in range(3)]
    lines(folder / "instances.jsonl", *rows)
    return {"instances_per_task": 5, "test_instances_per_task": 5, "language": "English"}


def version_one(folder: Path) -> dict:
    lines(folder / "split.json", {"train": NAMES[:1], "eval": NAMES[1:]})
    for name in NAMES:
        lines(folder / f"{name}.json", {"Definition": "Do.", "Prompt": "p", "Instances": [{"input": "a", "output": ["b"]}]})
    return {"instances_per_task": 5}


def big_bench(folder: Path) -> dict:
    for name in NAMES:
        examples = [{"input": "a", "target_scores": {"b": 1, "c": 0}}, {"input": "a", "target": ["b"]}]
        record = {"description": "Do.", "keywords": ["k"], "preferred_score": "exact_str_match", "examples": examples}
        lines(folder / f"benchmark_tasks/{name}/task.json", record)
    return {"examples_per_task": 5}


def hard(folder: Path) -> dict:
    lines(folder / "descriptions.json", dict.fromkeys(NAMES, "Do."))
    for name in NAMES:
        lines(folder / f"bbh/{name}.json", {"examples": [{"input": "a", "target": "b"}] * 2})
    return {}


def conversations(folder: Path) -> dict:
    lines(folder / "a.jsonl", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    lines(folder / "b.jsonl", {"instruction": "a", "input": "b", "output": "c"}, {"prompt": "a", "completion": "b"})
    return {}


def table(folder: Path) -> dict:
    lines(folder / "a.jsonl", ROW, ROW | {"id": "2"})
    (folder / "b.csv").write_text("task,instruction,input,output\nu,i,x,y\n")
    return {}


def pairs(folder: Path) -> dict:
    lines(folder / "d/train.jsonl", ROW, ROW)
    (folder / "d/templates.yaml").write_text(TEMPLATES)
    return {"examples_per_task": 5, "templates": "all", "held_out": []}


def rendered(folder: Path) -> dict:
    lines(folder / "a.jsonl", *[{"dataset": "d", "template": "t", "prompt": "a", "completion": "b", "choices": ["b"]}] * 2)
    return {"examples_per_template": 5, "held_out": []}


def induction(folder: Path) -> dict:
    lines(folder / "annotations/a.json", {"annotations": ["Do."]})
    lines(folder / "raw/induce/a.json", {"examples": {"1": {"input": "a", "output": "b"}, "2": {"cause": "a", "effect": "b"}}})
    return {"part": "induce"}


MAKERS = {
    superni: "super_natural_instructions",
    superni_zip: "super_natural_instructions",
    superni_lines: "super_natural_instructions",
    version_one: "natural_instructions_v1",
    big_bench: "bigbench",
    hard: "bbh",
    conversations: "chat",
    table: "plain",
    pairs: "p3",
    rendered: "p3_rendered",
    induction: "instruction_induction",
}


def spots(value: object, path: tuple = ()) -> list[tuple]:
    """Every place inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in inside for spot in spots(item, (*path, key)))]


def changed(value: object, path: tuple, draw: random.Random) -> object:
    """The value with one place replaced, removed or doubled."""
    if not path:
        return draw.choice(VALUES)
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    kind = draw.randrange(3)
    if kind == 0:
        del inner[path[-1]]
    elif kind == 1 and isinstance(inner, list):
        inner.append(inner[path[-1]])
    else:
        inner[path[-1]] = draw.choice(VALUES)
    return copy


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return draw.choice(
        [
            data[:at],
            data[:at] + b"\xff\xfe" + data[at:],
            data + data[at:],
            b"",
            data.decode("latin-1").encode("utf-16"),
            b"\x00" * 99,
        ]
    )


def mutate(path: Path, draw: random.Random) -> None:
    """Break one file: its bytes, or one place in one of its JSON values."""
    data = path.read_bytes()
    try:
        values = [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]
    except ValueError:
        values = []
    if not values or draw.random() < 0.3:
        path.write_bytes(mutate_bytes(data, draw))
        return
    index = draw.randrange(len(values))
    values[index] = changed(values[index], draw.choice(spots(values[index])), draw)
    lines(path, *values)


def outcome(raw: Path, settings: dict, out: Path, *, strict: bool) -> int | str:
    """Number of problems after writing what was read, or the message of a refusal."""
    problems, tasks = Problems(raw / "p", strict=strict), []

    def stream():
        for task, examples in read_pool(raw, "p", TypeAdapter(PoolSettings).validate_python(settings), problems):
            tasks.append(task)
            yield from examples

    try:
        count = write_examples(out / "examples.parquet", stream())
        write_tasks(out / "tasks.parquet", tasks)
    except InputError as error:
        return str(error)
    assert len(list(read_examples(out / "examples.parquet"))) == count
    return sum(problems.counts.values())


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_broken_pool_is_refused_or_counted(tmp_path, maker):
    draw, refused = random.Random(maker.__name__), 0
    for number in range(MUTANTS_PER_READER):
        raw, out = tmp_path / str(number) / "raw", tmp_path / str(number) / "out"
        (raw / "p").mkdir(parents=True)
        settings = maker(raw / "p") | {"reader": MAKERS[maker]}
        whole = outcome(raw, settings, out, strict=True)
        assert isinstance(whole, int), whole
        mutate(draw.choice(sorted(path for path in raw.rglob("*") if path.is_file())), draw)
        strict, lenient = outcome(raw, settings, out, strict=True), outcome(raw, settings, out, strict=False)
        for result in (strict, lenient):
            assert isinstance(result, int) or (len(result) < 1500 and len(result.splitlines()) < 6)
        if isinstance(strict, str):
            refused += 1
            assert isinstance(lenient, str) or lenient > whole
        assert {path.name for path in out.iterdir()} <= {"examples.parquet", "tasks.parquet"}
        assert {path.name for path in (tmp_path / str(number)).iterdir()} == {"raw", "out"}
    assert refused > 0
