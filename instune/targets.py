"""Which tasks are targets, and which may be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.errors import InputError
from instune.records import Task


class Targets(Section):
    """The tasks to become good at. Nothing of them is ever trained on."""

    by: Literal["tasks", "categories", "split", "pool"]  # what `values` names
    values: list[str]
    examples_per_task: PositiveInt  # the first so many examples of each target task are evaluated


def _keys(task: Task, by: str) -> str:
    return {"tasks": task.task_id, "categories": task.category, "split": task.split, "pool": task.pool}[by]


def target_tasks(tasks: Mapping[str, Task], targets: Targets) -> list[str]:
    """Ids of the target tasks, in pool order.

    Raises:
        InputError: no value given, or a value that no task has; near spellings are named.
    """
    if not targets.values:
        raise InputError(f"targets.values: is empty. Name at least one of the pool's {targets.by}.")
    known = {_keys(task, targets.by) for task in tasks.values()}
    for value in targets.values:
        if value not in known:
            near = get_close_matches(value, known, n=3, cutoff=0.4) or sorted(known)[:3]
            raise InputError(f"targets.values: {value!r} is unknown among the pool's {targets.by}. Near: {', '.join(near)}.")
    return [task.task_id for task in tasks.values() if _keys(task, targets.by) in targets.values]


def source_tasks(tasks: Mapping[str, Task], targets: Targets) -> list[str]:
    """Ids of the tasks that may be trained on: of the training split and no target.

    Raises:
        InputError: nothing is left to train on.
    """
    excluded = set(target_tasks(tasks, targets))
    sources = [task.task_id for task in tasks.values() if task.split == "train" and task.task_id not in excluded]
    if not sources:
        raise InputError("targets: no training task is left. Choose fewer targets, or add a pool with training tasks.")
    return sources
