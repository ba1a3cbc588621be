"""A user's own tasks: a table with a row per example.

Columns `task`, `instruction`, `input`, `output`, and, where wanted, `choices`, `category`, `split` (train or test) and `id`:

    {"task": "colour", "instruction": "Name the colour.", "input": "The sky is blue.", "output": "blue",
     "choices": ["blue", "red"]}

In CSV the choices stand in one cell, `blue|||red`. Every distinct instruction of a task is one of its wordings; a task is scored
by its choices where every row has them, else by ROUGE-L.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from instune.config import Section
from instune.pools.fields import optional_id, optional_text, optional_texts, text
from instune.pools.files import walk
from instune.pools.problems import BadRecord, Problems
from instune.pools.rows import TABLES, read_rows
from instune.records import Example, Task
from instune.shown import shown

SEPARATOR = "|||"


class Plain(Section):
    """A pool of a user's own tasks."""

    reader: Literal["plain"]


@dataclass
class Collected:
    """What the rows of one task have said so far."""

    category: str
    split: str
    wordings: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)


def _choices(row: dict[str, Any]) -> tuple[str, ...] | None:
    if isinstance(row.get("choices"), str):
        return tuple(text(row, "choices").split(SEPARATOR)) if row["choices"] else None
    return tuple(optional_texts(row, "choices")) or None


def add_row(tasks: dict[str, Collected], row: dict[str, Any], pool: str) -> None:
    """Add a row to its task.

    Raises:
        BadRecord: a column is missing or of another type, the instruction is empty, the split is unknown, split or category
            change, the output is no choice.
    """
    name, instruction, split = text(row, "task"), text(row, "instruction"), optional_text(row, "split") or "train"
    if not instruction.strip():
        raise BadRecord("instruction: is empty; a task needs its instruction (for conversations: reader chat)", shown(name))
    if split not in ("train", "test"):
        raise BadRecord("split: expected train or test", shown(split))
    given, output, choices = optional_text(row, "input"), text(row, "output"), _choices(row)
    if choices is not None and output not in choices:
        found = f"{shown(output)} among {shown(list(choices))}"
        raise BadRecord(f"output: expected one of the choices (in CSV one cell, {SEPARATOR} between them, blanks count)", found)
    category, own_id = optional_text(row, "category"), optional_id(row)
    task = tasks.setdefault(name, Collected(category, split))
    if split != task.split:
        raise BadRecord("split: differs from the task's first row", shown(split))
    if category and task.category and category != task.category:
        raise BadRecord("category: differs from the task's first one", shown(category))
    task.category = task.category or category
    index = task.wordings.setdefault(instruction, len(task.wordings))
    example_id = f"{pool}:{name}:{own_id}" if own_id else f"{pool}:{name}#{len(task.examples)}"
    task.examples.append(Example(f"{pool}:{name}", example_id, given, (output,), choices, index))


def finished(tasks: dict[str, Collected], pool: str) -> Iterator[tuple[Task, list[Example]]]:
    """The tasks, by name."""
    for name, task in sorted(tasks.items()):
        wordings = tuple(task.wordings)
        metric = "choice" if all(example.choices for example in task.examples) else "rouge_l"
        yield Task(f"{pool}:{name}", pool, task.category, wordings[0], wordings, metric=metric, split=task.split), task.examples


def read(folder: Path, *, pool: str, problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """The tasks of all tables of the pool; rows of a task may lie anywhere."""
    tasks: dict[str, Collected] = {}
    for path, file in walk(folder, rf"[^/]+{TABLES}", problems):
        for place, row in read_rows(file, path, problems):
            try:
                add_row(tasks, row, pool)
            except BadRecord as problem:
                problems.bad(problem, place)
    yield from finished(tasks, pool)
