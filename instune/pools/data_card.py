"""The data card: what a pool holds, how long its texts are, and what was left out."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from instune.pools.problems import Problems
from instune.records import Example, Task


def message_words(task: Task, example: Example) -> tuple[int, int]:
    """Whitespace words of the instruction side and of the output side, one more per message for its role marker.

    This is how the lengths in Table 5 of arXiv 2405.14394 come about: system and user messages against assistant messages.
    """
    if example.messages is not None:
        sides = [0, 0]
        for message in example.messages:
            sides[message.role == "assistant"] += len(message.content.split()) + 1
        return sides[0], sides[1]
    wording = task.wordings[example.wording_index or 0]
    return len(wording.split()) + len(example.input.split()) + 1, len(example.references[0].split()) + 1


def _lengths(values: array) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "p95": round(float(np.percentile(values, 95)), 1)}


class DataCard:
    """Counts of one pool, filled task by task; lengths are kept as integers, 12 bytes an example."""

    def __init__(self) -> None:
        self.tasks = 0
        self.current = ""
        self.splits: Counter[str] = Counter()
        self.categories: Counter[str] = Counter()
        self.empty_references = 0
        self.words = {part: array("I") for part in ("instruction", "input", "output")}
        self.sides = [0, 0]

    def add(self, task: Task, examples: list[Example]) -> None:
        """Count a task, once, and these of its examples."""
        if task.task_id != self.current:
            self.current = task.task_id
            self.tasks += 1
            self.splits[task.split] += 1
            self.categories[task.category] += 1
        wording_words = [len(wording.split()) for wording in task.wordings]
        for example in examples:
            self.empty_references += "" in example.references
            self.words["instruction"].append(wording_words[example.wording_index or 0])
            self.words["input"].append(len(example.input.split()))
            self.words["output"].append(len(example.references[0].split()))
            for side, words in enumerate(message_words(task, example)):
                self.sides[side] += words

    def summary(self, problems: Problems, settings: dict[str, Any]) -> dict[str, Any]:
        """The card's entry for the pool, the settings it was read with included.

        `instruction_output_ratio` is the ratio of the mean lengths.
        """
        return {
            "settings": settings,
            "tasks": self.tasks,
            "examples": len(self.words["input"]),
            "splits": dict(self.splits),
            "categories": dict(self.categories),
            "examples_with_an_empty_reference": self.empty_references,
            "words": {part: _lengths(values) for part, values in self.words.items()},
            "instruction_output_ratio": round(self.sides[0] / self.sides[1], 4),
            "skipped": dict(problems.counts),
            "first_skipped": dict(problems.first),
        }
