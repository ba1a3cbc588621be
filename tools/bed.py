"""A scratch folder with the playground of one seed, in which stages run."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from ruamel.yaml import YAML

from instune import config
from instune.records import Task, read_tasks
from stages.command import run

TASKS, EXAMPLES, MODEL = Path("data/pool/tasks.parquet"), Path("data/pool/examples.parquet"), Path("data/models/base")
POOL = ("--tasks", str(TASKS), "--examples", str(EXAMPLES))


def changed(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with some keys of some sections replaced."""
    return {**params, **{name: {**params[name], **new} if isinstance(new, Mapping) else new for name, new in changes.items()}}


def write_params(work: Path, params: Mapping[str, Any]) -> None:
    """The parameters that the next stage in the folder reads."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / config.PARAMS_FILE).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(dict(params), file)


@contextlib.contextmanager
def embedding_cache(folder: Path) -> Iterator[None]:
    """Stages keep their embeddings in this folder instead of the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


@dataclass(frozen=True)
class Time:
    """Seconds on the clock, which other work on the machine lengthens, and of this process on its cores, which it hardly does."""

    clock: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Time) -> Time:
        return Time(self.clock + other.clock, self.cpu + other.cpu)


def run_stage(work: Path, name: str, *options: str) -> Time:
    """Run a stage in the folder, silently; returns how long it took, libraries already imported.

    Raises:
        SystemExit: the stage refuses its input.
    """
    main = importlib.import_module(f"stages.{name}").main
    with contextlib.chdir(work), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        clock, cpu = perf_counter(), process_time()
        run(main, list(options))
        return Time(perf_counter() - clock, process_time() - cpu)


def make(work: Path, model: Path) -> None:
    """Generate the playground by the folder's parameters, read it into `TASKS` and `EXAMPLES`, link the model to `MODEL`."""
    run_stage(work, "playground", "--out", "data/raw/playground")
    run_stage(work, "ingest", "--raw", "data/raw", *POOL, "--card", "card.json")
    (work / MODEL).parent.mkdir(parents=True, exist_ok=True)
    if not (work / MODEL).exists():
        (work / MODEL).symlink_to(model.resolve())


def tasks(work: Path) -> dict[str, Task]:
    """The pool of the folder."""
    return read_tasks(work / TASKS)
