"""How long a pool's texts are, in whitespace words and in a model's tokens, both over the same drawn examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import heappush, heappushpop
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from instune.prompts import stable_integer
from instune.records import Example, Task

BATCH = 256  # examples per call of the tokenizer
QUANTILES = (5, 25, 50, 75, 95)


def part_texts(task: Task, example: Example) -> dict[str, list[str]]:
    """What lengths are told of: instruction, input and first reference, or the two sides of a conversation.

    The instruction is the wording that the example names, else the first. An example with messages says its instruction in
    them, so all but the assistant's messages are one part.
    """
    if example.messages is None:
        wording = task.wordings[example.wording_index or 0]
        return {"instruction": [wording], "input": [example.input], "output": [example.references[0]]}
    sides: dict[str, list[str]] = {"system_and_user": [], "assistant": []}
    for message in example.messages:
        sides["assistant" if message.role == "assistant" else "system_and_user"].append(message.content)
    return sides


def histogram(values: np.ndarray) -> list[int]:
    """Counts of lengths on logarithmic edges: of 0, of 1, of 2 to 3, of 4 to 7, and so on to the longest."""
    if not len(values):
        return []
    edges = 2 ** np.arange(int(values.max()).bit_length())  # 1, 2, 4, ...
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).tolist()


def distribution(lengths: Iterable[int]) -> dict[str, Any]:
    """Mean, quantiles (interpolated linearly), maximum and `histogram` of at least one length."""
    values = np.fromiter(lengths, dtype=np.int64)
    quantiles = np.percentile(values, QUANTILES)
    return {
        "mean": round(float(values.mean()), 4),
        **{f"p{name}": round(float(value), 1) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": int(values.max()),
        "histogram": histogram(values),
    }


class Counts:
    """Words and tokens of every part of one pool's examples, counted batch by batch; 24 bytes an example are kept.

    Attributes:
        examples: how many were counted or wait for it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.examples = 0
        self.lengths: dict[str, dict[str, array]] = {}
        self.waiting: list[dict[str, list[str]]] = []

    def add(self, parts: dict[str, list[str]]) -> None:
        """Take the parts' texts of one example."""
        self.examples += 1
        self.waiting.append(parts)
        if len(self.waiting) == BATCH:
            self._count()

    def _count(self) -> None:
        texts = [text for parts in self.waiting for part in parts.values() for text in part]
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        tokens = iter(map(len, encoded))
        for parts in self.waiting:
            for part, said in parts.items():
                lengths = self.lengths.setdefault(part, {"words": array("I"), "tokens": array("I")})
                lengths["words"].append(sum(len(text.split()) for text in said))
                lengths["tokens"].append(sum(next(tokens) for _ in said))
        self.waiting = []

    def summary(self) -> dict[str, dict[str, dict[str, Any]]]:
        """part -> "words" and "tokens" -> `distribution`, of the parts that the examples have."""
        if self.waiting:
            self._count()
        return {part: {unit: distribution(values) for unit, values in units.items()} for part, units in self.lengths.items()}


def measure(
    tasks: Mapping[str, Task],
    examples: Iterable[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    per_pool: int | None,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Lengths of every pool, in one pass over the examples, whose order has no influence.

    Args:
        tasks: by id, those of all examples.
        per_pool: examples drawn from each pool by a hash of pool and id, kept in memory; None: all, none kept.
        seed: of the draw.

    Returns:
        pool -> "examples" measured, "of" how many, "parts": part -> "words" and "tokens" -> `distribution`.
    """
    pools = sorted({task.pool for task in tasks.values()})
    counts, seen = {pool: Counts(tokenizer) for pool in pools}, Counter(dict.fromkeys(pools, 0))
    drawn: dict[str, list[tuple[int, int, dict[str, list[str]]]]] = {pool: [] for pool in pools}  # heaps, largest hash first
    for example in examples:
        task = tasks[example.task_id]
        pool = task.pool
        seen[pool] += 1
        parts = part_texts(task, example)
        if per_pool is None:
            counts[pool].add(parts)
            continue
        entry = (-stable_integer(seed, "lengths", pool, example.example_id), seen[pool], parts)
        if len(drawn[pool]) < per_pool:
            heappush(drawn[pool], entry)
        else:
            heappushpop(drawn[pool], entry)
    for pool, entries in drawn.items():
        for _, _, parts in entries:
            counts[pool].add(parts)
    return {
        pool: {"examples": counted.examples, "of": seen[pool], "parts": counted.summary()} for pool, counted in counts.items()
    }
