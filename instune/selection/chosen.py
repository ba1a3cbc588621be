"""The examples that a selection lets a run train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from instune.records import Example, read_examples


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
