"""Overlap between what a model is scored on and what it may be trained on.

Two inputs are equal when their words are; near when the source holds most of the target's runs of `RUN` words (n-gram
containment, Broder 1997): a product of sparse indicator matrices. Inputs shorter than a run are compared as a whole only. A known
case is https://github.com/allenai/natural-instructions/issues/773.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from scipy.sparse import csr_array

from instune.records import Example

RUN = 8  # words
NEAR = 0.8  # share of the target's runs
BATCH = 5_000
WORD = re.compile(r"\w+")
MULTIPLIERS = np.random.Generator(np.random.PCG64(0)).integers(2**64, size=RUN, dtype=np.uint64) | np.uint64(1)


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


def runs(texts: list[str], numbers: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `RUN` known words: (text's place, (N,)), (64-bit hash of the run, (N,)).

    The hash is multilinear over word numbers: two unlike runs share one with a chance of about 2^-63.

    Args:
        texts: normalized texts.
        numbers: known words, each with its number; a run that holds any other word is left out.
    """
    split = [text.split() for text in texts]
    sizes = np.array([len(words) for words in split], dtype=np.int64)
    flat = np.fromiter((numbers.get(word, -1) for words in split for word in words), np.int64, sizes.sum())
    if len(flat) < RUN:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    owners = np.repeat(np.arange(len(texts)), sizes)
    known = np.lib.stride_tricks.sliding_window_view(flat >= 0, RUN).all(axis=1)
    starts = np.flatnonzero(known & (owners[: len(flat) - RUN + 1] == owners[RUN - 1 :]))
    hashes = np.zeros(len(starts), np.uint64)
    for place, multiplier in enumerate(MULTIPLIERS):
        hashes += (flat[starts + place] + 1).astype(np.uint64) * multiplier
    return owners[starts], hashes


def _indicator(owners: np.ndarray, hashes: np.ndarray, vocabulary: np.ndarray, texts: int) -> csr_array:
    """(texts, runs of the vocabulary): 1 where the text holds the run, however often; `vocabulary` is sorted."""
    columns = np.searchsorted(vocabulary, hashes)
    columns[columns == len(vocabulary)] = 0
    found = vocabulary[columns] == hashes
    pairs = np.unique(np.stack([owners[found], columns[found]]), axis=1)
    return csr_array((np.ones(pairs.shape[1], np.int32), (pairs[0], pairs[1])), shape=(texts, len(vocabulary)))


class _Runs:
    """The runs of the targets, against which sources are held."""

    def __init__(self, texts: list[str]) -> None:
        self.numbers: dict[str, int] = {}
        for text in texts:
            for word in text.split():
                self.numbers.setdefault(word, len(self.numbers))
        owners, hashes = runs(texts, self.numbers)
        self.vocabulary = np.unique(hashes)
        self.of_targets = _indicator(owners, hashes, self.vocabulary, len(texts)) if len(hashes) else None
        self.needed = NEAR * self.of_targets.sum(axis=1) if len(hashes) else None

    def near(self, words: list[str]) -> Iterator[tuple[int, int]]:
        """(target, source) wherever the source holds `NEAR` of the target's runs."""
        if self.of_targets is None:
            return
        shared = (self.of_targets @ _indicator(*runs(words, self.numbers), self.vocabulary, len(words)).T).tocoo()
        enough = shared.data >= self.needed[shared.row]
        yield from zip(shared.row[enough].tolist(), shared.col[enough].tolist(), strict=True)


def measure(targets: list[Example], sources: Iterable[Example]) -> Overlap:
    """Every pair of a target and a source example whose inputs are equal or near; sources are read in batches."""
    found, texts = Overlap(), [normalized(example.input) for example in targets]
    equal: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if text:
            equal.setdefault(text, []).append(index)
    known = _Runs(texts)
    for batch in _batches(sources):
        words = [normalized(example.input) for example in batch]
        for row, column in known.near(words):
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
