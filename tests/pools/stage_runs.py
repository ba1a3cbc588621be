"""Run the ingest stage in a working folder, and watch which files change."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from instune.errors import InputError
from instune.records import read_examples
from instune.results import read_json
from stages import ingest
from tests.pools.small_pools import MAKERS

SECONDS = 5  # for one pool of two tasks, a text of two million characters included
OUTPUTS = {"data/pool/tasks.parquet", "data/pool/examples.parquet", "reports/data_card.json"}


def files(folder: Path) -> dict[str, str]:
    """Content of every file below, by its place."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_params(settings: dict[str, Any], *, strict: bool) -> None:
    """Pool p with these settings beside the plain pool q, whose first task is the target."""
    params = {
        "ingest": {"strict": strict, "overlap": "drop"},
        "pools": {"p": settings, "q": {"reader": "plain"}},
        "targets": {"by": "tasks", "values": ["q:u"], "examples_per_task": 5},
    }
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


def outcome(top: Path, settings: dict[str, Any], *, strict: bool) -> int | str:
    """Number of problems of pool p after a run of the stage, or the message of a refusal; `top` holds the working folder."""
    write_params(settings, strict=strict)
    before, started = files(top), time.perf_counter()
    paths = {"tasks": "data/pool/tasks.parquet", "examples": "data/pool/examples.parquet", "card": "reports/data_card.json"}
    try:
        ingest.main(raw=Path("data/raw"), **{name: Path(path) for name, path in paths.items()})
    except InputError as error:
        assert files(top) == before
        message = str(error)
        message.encode()
        assert len(message) < 1500
        assert len(message.splitlines()) < 6
        return message
    finally:
        assert time.perf_counter() - started < SECONDS
    after = files(top)
    new = {place.removeprefix("work/") for place in after.keys() - before.keys()}
    assert new == OUTPUTS
    assert all(after[place] == content for place, content in before.items())
    card = read_json(Path("reports/data_card.json"))
    count = len(list(read_examples(Path("data/pool/examples.parquet"))))
    assert count == sum(entry["examples"] - entry["dropped_for_overlap"] for entry in card.values())
    for place in OUTPUTS:
        Path(place).unlink()
    return sum(card["p"]["skipped"].values())


def raw_pool(top: Path, monkeypatch: pytest.MonkeyPatch, maker: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """A working folder with the maker's pool and a whole one, and a file outside that nothing may touch."""
    work = top / "work"
    (work / "data/raw/p").mkdir(parents=True)
    (work / "data/raw/q").mkdir()
    (work / "data/raw/q/t.csv").write_text("task,instruction,input,output\nu,i,x,y\nv,i,x,y\n")
    (top / "outside.json").write_text("{}")
    monkeypatch.chdir(work)
    return maker(Path("data/raw/p")) | {"reader": MAKERS[maker]}
