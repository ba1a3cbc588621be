"""Three answers that need no model: a score that does not beat them shows nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from instune.evaluation.predictions import Prediction
from instune.records import Task

FLOORS = ("majority", "copied_input", "copied_demonstration")


def majority(predictions: Sequence[Prediction]) -> dict[str, str]:
    """The most frequent first reference of each task among the evaluated examples; ties go to the first in alphabetical order.

    It knows the answers' frequencies, which no model does: a task of k balanced classes gives 1/k.
    """
    counts: dict[str, Counter[str]] = {}
    for row in predictions:
        counts.setdefault(row.task_id, Counter())[row.references[0]] += 1
    return {task_id: min(counter, key=lambda text: (-counter[text], text)) for task_id, counter in counts.items()}


def floor_outputs(
    predictions: Sequence[Prediction], tasks: Mapping[str, Task], inputs: Mapping[tuple[str, str], str]
) -> dict[str, list[str | None]]:
    """Each floor's answer to every prediction's question, None where it has none (a task without a positive example).

    Args:
        predictions: one model's rows, for the questions and references.
        tasks: the pool's tasks by id.
        inputs: the full input of each (task, example).
    """
    frequent = majority(predictions)
    demonstrations = {task.task_id: task.positive_examples[0].output for task in tasks.values() if task.positive_examples}
    return {
        "majority": [frequent[row.task_id] for row in predictions],
        "copied_input": [inputs[row.place] for row in predictions],
        "copied_demonstration": [demonstrations.get(row.task_id) for row in predictions],
    }
