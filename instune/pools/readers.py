"""The readers by name, and what every pool must keep whatever its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from instune.errors import InputError
from instune.pools import (
    bbh,
    bigbench,
    chat,
    hub,
    instruction_induction,
    natural_instructions_v1,
    p3,
    p3_rendered,
    plain,
    super_natural_instructions,
)
from instune.pools.files import seen
from instune.pools.problems import BadRecord, Problems
from instune.pools.rows import TABLE_NAMES
from instune.records import Example, Task
from instune.shown import shown

PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$")]  # a folder's name under data/raw, never a path
PoolSettings = Annotated[
    bbh.BigBenchHard
    | bigbench.BigBench
    | chat.Chat
    | hub.Hub
    | instruction_induction.InstructionInduction
    | natural_instructions_v1.NaturalInstructionsV1
    | p3.P3
    | p3_rendered.P3Rendered
    | plain.Plain
    | super_natural_instructions.SuperNaturalInstructions,
    Field(discriminator="reader"),
]

Read = Callable[..., Iterator[tuple[Task, list[Example]]]]
READERS: dict[str, Read] = {
    "bbh": bbh.read,
    "bigbench": bigbench.read,
    "chat": chat.read,
    "hub": hub.read,
    "instruction_induction": instruction_induction.read,
    "natural_instructions_v1": natural_instructions_v1.read,
    "p3": p3.read,
    "p3_rendered": p3_rendered.read,
    "plain": plain.read,
    "super_natural_instructions": super_natural_instructions.read,
}

LOOKS_FOR = {
    "bbh": "bbh/*.json, tasks/*.json or *.json, each of a task",
    "bigbench": "benchmark_tasks/*/task.json, or a table of definitions and one of instances",
    "chat": TABLE_NAMES,
    "instruction_induction": "raw/induce/*.json or raw/execute/*.json, and annotations/*.json",
    "natural_instructions_v1": "*.json, each of a task, and split.json, or a table of definitions and one of instances",
    "p3": "templates.yaml, and beside it *.jsonl, *.json and *.parquet, each also with .gz, and *.hub.json",
    "p3_rendered": TABLE_NAMES,
    "plain": TABLE_NAMES,
    "super_natural_instructions": "tasks/*.json and splits/*/*_tasks.txt, or a table of definitions and one of instances",
}

TASK_ID = re.compile(r"[^\W_][^\x00-\x1f/\\\x7f]{0,199}")
TASK_ID_RULE = "a letter or digit, then up to 199 characters, none of them a slash, a backslash or a control character"


def _all_bad(problem: BadRecord, pool: str, task: Task, examples: list[Example], problems: Problems) -> None:
    for found in [f": example {shown(example.example_id)}" for example in examples] or [""]:
        problems.bad(problem, f"{pool}: task {shown(task.task_id)}{found}")


def _nothing_found(folder: Path, name: str, reader: str, problems: Problems) -> str:
    message = f"{folder}: no task was found that pools.{name} asks for. Left out: {dict(problems.counts) or 'nothing'}."
    if reader == "hub":
        return message
    names = seen(folder)
    there = ", ".join(map(shown, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{message}\n  The reader {reader} looks for {LOOKS_FOR[reader]}.\n  There are: {there or 'no files'}."


def _kept(task: Task, examples: list[Example], seen: set[str], problems: Problems) -> list[Example]:
    kept = []
    for example in examples:
        if example.example_id in seen:
            problems.bad(BadRecord("example id: used before in this pool", shown(example.example_id)), task.task_id)
        else:
            seen.add(example.example_id)
            kept.append(example)
    return kept


def read_pool(raw: Path, name: str, settings: PoolSettings, problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """Tasks of a raw pool with their examples: ids are unique, no task is without example.

    A large task comes in several parts, one after the other, each with the task.

    Args:
        raw: the folder of raw pools.
        name: the pool's name, a folder in `raw`.
        settings: the pool's parameters.
        problems: told about everything that is left out.

    Raises:
        InputError: the folder is absent, nothing usable is in it, or, in strict mode, a bad record.
    """
    folder = raw / name
    if settings.reader != "hub" and not folder.is_dir():
        raise InputError(
            f"pools.{name}: {folder} is not there. Bring the raw pool with\n"
            f"  dvc add --out {folder} <folder or clone> && git add {raw} && git commit -m 'Add pool {name}'\n"
            f"or remove pools.{name}."
        )
    task_ids: set[str] = set()
    example_ids: set[str] = set()
    current = None
    flat = settings.model_dump(exclude={"reader"})
    for task, examples in READERS[settings.reader](folder, pool=name, problems=problems, **flat):
        if not TASK_ID.fullmatch(task.task_id):
            _all_bad(BadRecord(f"task id: expected {TASK_ID_RULE}", shown(task.task_id)), name, task, examples, problems)
        elif task.task_id in task_ids and task.task_id != current:
            _all_bad(BadRecord("task id: used before in this pool", shown(task.task_id)), name, task, examples, problems)
        elif kept := _kept(task, examples, example_ids, problems):
            task_ids.add(task.task_id)
            current = task.task_id
            yield task, kept
        elif task.task_id != current:
            problems.leave_out("task without instances", task.task_id)
    if not task_ids:
        raise InputError(_nothing_found(folder, name, settings.reader, problems))
