"""The choice of source tasks: its file, and the examples that it lets a run train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from instune.errors import InputError
from instune.records import Example, read_examples
from instune.results import Content, read_json


class Selection(Content):
    """What fine-tuning and the optimization of instructions need of `data/selection.json`."""

    selected: list[str]  # task ids
    examples: dict[str, list[str]] | None = None  # task id -> ids of the examples to take; None: all


def read_selection(path: Path) -> dict[str, Any]:
    """The content of `data/selection.json`.

    Raises:
        InputError: not readable, or no task is selected.
    """
    selection = read_json(path, Selection)
    if not selection["selected"]:
        raise InputError(f"{path}: selected: is empty. Run select_tasks again.")
    return selection


def chosen_examples(path: Path, selection: Mapping[str, Any]) -> Iterator[Example]:
    """Examples of the selected tasks in file order: all, or, where the selection names some of each task, these.

    Args:
        path: the pool's examples.
        selection: the content of `data/selection.json`: `selected`, and `examples`, task id -> example ids, or None.
    """
    named = selection.get("examples")
    wanted = None if named is None else {(task_id, example_id) for task_id, ids in named.items() for example_id in ids}
    for example in read_examples(path, selection["selected"]):
        if wanted is None or (example.task_id, example.example_id) in wanted:
            yield example
