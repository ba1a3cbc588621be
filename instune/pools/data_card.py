"""The data card: what a pool holds, how long its texts are, and what was left out."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import numpy as np

from instune.pools.problems import Problems
from instune.records import Example, Message, Task

PARTS = ("instruction", "input", "output", "system_and_user", "assistant")


def _lengths(values: array) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "p95": round(float(np.percentile(values, 95)), 1)}


class DataCard:
    """Counts of one pool, filled task by task; lengths in words are kept as integers, 12 bytes an example.

    An example with messages says its instruction in them, so its parts are the two sides of the conversation.

    Attributes:
        sides: words of the instruction side and of the output side, one more per message for its role marker. This is how the
            lengths in Table 5 of arXiv 2405.14394 come about: system and user messages against assistant messages.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self.examples = 0
        self.current = ""
        self.splits: Counter[str] = Counter()
        self.categories: Counter[str] = Counter()
        self.empty_references = 0
        self.words = {part: array("I") for part in PARTS}
        self.sides = [0, 0]

    def add(self, task: Task, examples: list[Example]) -> None:
        """Count a task, once, and these of its examples."""
        if task.task_id != self.current:
            self.current = task.task_id
            self.tasks += 1
            self.splits[task.split] += 1
            self.categories[task.category] += 1
        self.examples += len(examples)
        wording_words = [len(wording.split()) for wording in task.wordings]
        for example in examples:
            self.empty_references += "" in example.references
            if example.messages is None:
                self._add_single(example, wording_words[example.wording_index or 0])
            else:
                self._add_conversation(example.messages)

    def _add_single(self, example: Example, instruction: int) -> None:
        given, said = len(example.input.split()), len(example.references[0].split())
        self.words["instruction"].append(instruction)
        self.words["input"].append(given)
        self.words["output"].append(said)
        self.sides[0] += instruction + given + 1
        self.sides[1] += said + 1

    def _add_conversation(self, messages: tuple[Message, ...]) -> None:
        words = {"system_and_user": 0, "assistant": 0}
        for message in messages:
            side, count = message.role == "assistant", len(message.content.split())
            words["assistant" if side else "system_and_user"] += count
            self.sides[side] += count + 1
        for part, count in words.items():
            self.words[part].append(count)

    def summary(self, problems: Problems, settings: dict[str, Any]) -> dict[str, Any]:
        """The card's entry for the pool, the settings it was read with included.

        `instruction_output_ratio` is the ratio of the mean lengths.
        """
        return {
            "settings": settings,
            "tasks": self.tasks,
            "examples": self.examples,
            "splits": dict(self.splits),
            "categories": dict(self.categories),
            "examples_with_an_empty_reference": self.empty_references,
            "words": {part: _lengths(values) for part, values in self.words.items() if values},
            "instruction_output_ratio": round(self.sides[0] / self.sides[1], 4),
            "skipped": dict(problems.counts),
            "first_skipped": dict(problems.first),
        }
