"""A small raw pool for every reader, with its settings."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pools.conftest import make_record, write_clone

NAMES = ["task001_a", "task002_b"]
ROW = {"task": "t", "instruction": "Do.", "input": "a", "output": "b", "choices": ["a", "b"], "id": "1"}
TEMPLATES = (
    "dataset: d\ntemplates: {i: !Template {name: n, jinja: '{{input}} ||| {{output}}', metadata: {original_task: true}}}\n"
)


def lines(path: Path, *rows: object) -> None:
    """JSON lines, compressed where the name says so."""
    pack(path, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def pack(path: Path, body: bytes) -> None:
    """A file with this content, compressed where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)


def superni(folder: Path) -> dict[str, Any]:
    write_clone(folder, {name: make_record(number) for number, name in enumerate(NAMES)}, train=NAMES[:1], test=NAMES[1:])
    return {"instances_per_task": 5, "test_instances_per_task": 5, "language": "English"}


def superni_zip(folder: Path) -> dict[str, Any]:
    settings = superni(folder / "clone")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with zipfile.ZipFile(folder / "clone.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder))
            path.unlink()
    return settings


def superni_tar(folder: Path) -> dict[str, Any]:
    settings = superni(folder / "clone")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with tarfile.open(folder / "clone.tar.gz", "w:gz") as archive:
        for path in paths:
            archive.add(path, path.relative_to(folder))
            path.unlink()
    return settings


def superni_lines(folder: Path) -> dict[str, Any]:
    write_clone(folder, {}, train=NAMES[:1], test=NAMES[1:])
    lines(folder / "definitions.jsonl.gz", *[make_record(number) | {"task": name} for number, name in enumerate(NAMES)])
    rows = [{"task": name, "id": f"{name}-{i}", "index": i, "input": "x", "output": ["y"]} for name in NAMES for i in range(3)]
    lines(folder / "instances.jsonl", *rows)
    return {"instances_per_task": 5, "test_instances_per_task": 5, "language": "English"}


def version_one(folder: Path) -> dict[str, Any]:
    lines(folder / "split.json", {"train": NAMES[:1], "eval": NAMES[1:]})
    for name in NAMES:
        lines(folder / f"{name}.json", {"Definition": "Do.", "Prompt": "p", "Instances": [{"input": "a", "output": ["b"]}]})
    return {"instances_per_task": 5}


def big_bench(folder: Path) -> dict[str, Any]:
    for name in NAMES:
        examples = [{"input": "a", "target_scores": {"b": 1, "c": 0}}, {"input": "a", "target": ["b"]}]
        record = {"description": "Do.", "keywords": ["k"], "preferred_score": "exact_str_match", "examples": examples}
        lines(folder / f"benchmark_tasks/{name}/task.json", record)
    return {"examples_per_task": 5}


def hard(folder: Path) -> dict[str, Any]:
    lines(folder / "descriptions.json", dict.fromkeys(NAMES, "Do."))
    for name in NAMES:
        lines(folder / f"bbh/{name}.json", {"examples": [{"input": "a", "target": "b"}] * 2})
    return {}


def conversations(folder: Path) -> dict[str, Any]:
    lines(folder / "a.jsonl", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    lines(folder / "b.jsonl", {"instruction": "a", "input": "b", "output": "c"}, {"prompt": "a", "completion": "b"})
    return {}


def table(folder: Path) -> dict[str, Any]:
    lines(folder / "a.jsonl", ROW, ROW | {"id": "2"})
    (folder / "b.csv").write_text("task,instruction,input,output\nu,i,x,y\n")
    return {}


def columns(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([ROW, ROW | {"id": "2"}]), folder / "a.parquet")
    return {}


def cells(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "b.csv").write_text("task,instruction,input,output,choices\nt,i,x,y,y|||z\nt,i,z,y,y|||z\n")
    return {}


def pairs(folder: Path) -> dict[str, Any]:
    lines(folder / "d/train.jsonl", ROW, ROW)
    (folder / "d/templates.yaml").write_text(TEMPLATES)
    return {"examples_per_task": 5, "templates": "all", "held_out": []}


def rendered(folder: Path) -> dict[str, Any]:
    lines(folder / "a.jsonl", *[{"dataset": "d", "template": "t", "prompt": "a", "completion": "b", "choices": ["b"]}] * 2)
    return {"examples_per_template": 5, "held_out": []}


def induction(folder: Path) -> dict[str, Any]:
    lines(folder / "annotations/a.json", {"annotations": ["Do."]})
    lines(folder / "raw/induce/a.json", {"examples": {"1": {"input": "a", "output": "b"}, "2": {"cause": "a", "effect": "b"}}})
    return {"part": "induce"}


MAKERS: dict[Callable[[Path], dict[str, Any]], str] = {
    superni: "super_natural_instructions",
    superni_zip: "super_natural_instructions",
    superni_tar: "super_natural_instructions",
    superni_lines: "super_natural_instructions",
    version_one: "natural_instructions_v1",
    big_bench: "bigbench",
    hard: "bbh",
    conversations: "chat",
    table: "plain",
    columns: "plain",
    cells: "plain",
    pairs: "p3",
    rendered: "p3_rendered",
    induction: "instruction_induction",
}
