"""Overlap between what a model is scored on and what it may be trained on.

Two inputs are equal when their words are; near when the source holds most of the target's runs of `RUN` words (n-gram
containment, Broder 1997), counted with scikit-learn. Inputs shorter than a run are compared as a whole only. A known case is
https://github.com/allenai/natural-instructions/issues/773.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from instune.records import Example

RUN = 8  # words
NEAR = 0.8  # share of the target's runs
BATCH = 5_000
WORD = re.compile(r"\w+")


def normalized(text: str) -> str:
    """The words in lower case, one blank between them."""
    return " ".join(WORD.findall(text.lower()))


@dataclass
class Overlap:
    """What was found.

    Attributes:
        pairs: (target task, source task, "exact" or "near") -> pairs of examples.
        sources: (task id, example id) of the source examples that overlap with some target example.
        targets: (task id, example id) of the target examples that some source example overlaps with.
    """

    pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sources: set[tuple[str, str]] = field(default_factory=set)
    targets: set[tuple[str, str]] = field(default_factory=set)

    def add(self, target: Example, source: Example, kind: str) -> None:
        """Count one pair of examples."""
        self.pairs[target.task_id, source.task_id, kind] += 1
        self.sources.add((source.task_id, source.example_id))
        self.targets.add((target.task_id, target.example_id))


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    stream = iter(examples)
    while batch := list(islice(stream, BATCH)):
        yield batch


def measure(targets: list[Example], sources: Iterable[Example]) -> Overlap:
    """Every pair of a target and a source example whose inputs are equal or near; sources are read in batches."""
    found, texts = Overlap(), [normalized(example.input) for example in targets]
    if not any(texts):
        return found
    equal: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if text:
            equal.setdefault(text, []).append(index)
    counter = CountVectorizer(ngram_range=(RUN, RUN), token_pattern=r"\S+", lowercase=False, binary=True)
    long = [text for text in texts if text.count(" ") >= RUN - 1]
    if not long:
        counter.set_params(vocabulary=["no run"])
    runs = counter.fit(long or texts).transform(texts)  # (targets, runs of targets)
    lengths = np.asarray(runs.sum(axis=1)).ravel()
    for batch in _batches(sources):
        words = [normalized(example.input) for example in batch]
        shared = (runs @ counter.transform(words).T).tocoo()  # (targets, batch)
        near = shared.data >= NEAR * lengths[shared.row]
        for row, column in zip(shared.row[near], shared.col[near], strict=True):
            if texts[row] != words[column]:
                found.add(targets[row], batch[column], "near")
        for column, text in enumerate(words):
            for row in equal.get(text, ()):
                found.add(targets[row], batch[column], "exact")
    return found


def summary(found: Overlap) -> list[dict[str, str | int]]:
    """One entry per pair of tasks, most pairs of examples first."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (target, source, kind), count in found.pairs.items():
        counts.setdefault((target, source), Counter())[kind] = count
    ordered = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    return [{"target": pair[0], "source": pair[1], "exact": count["exact"], "near": count["near"]} for pair, count in ordered]
