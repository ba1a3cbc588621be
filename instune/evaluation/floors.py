"""Three answers that need no model: a score that does not beat them shows nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from instune.evaluation.predictions import Prediction
from instune.records import Example, Task

FLOORS = ("majority", "copied_input", "copied_demonstration")

Place = tuple[str, str]  # task, example


@dataclass(frozen=True)
class Questions:
    """What the pool tells of the questions that were asked.

    Attributes:
        inputs: the full input of each.
        frequent: task -> the most frequent first reference of all its examples in the pool, the first by alphabet among equals.
            It knows the answers' frequencies, which no model does: a task of k balanced classes gives about 1/k. Counted on the
            evaluated examples alone it would rise as these are few: five different answers would give 1/5.
    """

    inputs: Mapping[Place, str]
    frequent: Mapping[str, str]


def questions_of(examples: Iterable[Example], asked: Collection[Place]) -> Questions:
    """What `examples`, all of the tasks that were asked, tell of the places that were."""
    inputs, counts = {}, {}
    for example in examples:
        counts.setdefault(example.task_id, Counter())[example.references[0]] += 1
        place = example.task_id, example.example_id
        if place in asked:
            inputs[place] = example.input
    frequent = {task_id: min(counter, key=lambda text: (-counter[text], text)) for task_id, counter in counts.items()}
    return Questions(inputs, frequent)


def floor_outputs(
    predictions: Sequence[Prediction], tasks: Mapping[str, Task], questions: Questions
) -> dict[str, list[str | None]]:
    """Each floor's answer to every prediction's question, None where it has none (a task without a positive example).

    Args:
        predictions: one model's rows, for the questions.
        tasks: the pool's tasks by id.
    """
    demonstrations = {task.task_id: task.positive_examples[0].output for task in tasks.values() if task.positive_examples}
    return {
        "majority": [questions.frequent[row.task_id] for row in predictions],
        "copied_input": [questions.inputs[row.place] for row in predictions],
        "copied_demonstration": [demonstrations.get(row.task_id) for row in predictions],
    }
