"""Which texts say the same to an aligned encoder: what its positive pairs are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from instune.records import Task

Alike = Literal["wordings", "examples", "category"]
SHOWN = 2  # positive examples in a text


def with_examples(task: Task) -> str:
    """The definition with the first two positive examples, input and output."""
    shown = [f"Input: {example.input}\nOutput: {example.output}" for example in task.positive_examples[:SHOWN]]
    return "\n".join([task.definition, *shown])


def said_alike(tasks: Mapping[str, Task], sources: Sequence[str], alike: Alike) -> dict[str, tuple[str, ...]]:
    """Name of a group -> the texts of source tasks that say the same; tasks without instruction have none.

    INSTA pairs the wordings of one dataset (arXiv 2404.16418; `wordings`). Super-NaturalInstructions has one definition per task,
    and its lists were made by an aligned selector whose pairs are not published. Two ways are offered for such pools: `examples`
    gives each task with positive examples one more text, its definition followed by two of them; `category` takes all tasks of a
    category for one.

    Args:
        tasks: the pool.
        sources: ids of the tasks that may be trained on.
        alike: what says the same.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for task_id in sources:
        task = tasks[task_id]
        if task.wordings == ("",):
            continue
        if alike == "category":
            groups[task.category] = (*groups.get(task.category, ()), *task.wordings)
        else:
            more = (with_examples(task),) if alike == "examples" and task.positive_examples else ()
            groups[task_id] = (*task.wordings, *more)
    return groups
