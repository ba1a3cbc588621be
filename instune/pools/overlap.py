"""Overlap between what a model is scored on and what it may be trained on.

A target is compared by what it asks, a source by every message that a user says in it. Two texts are equal when their words are;
near when the source holds most of the target's runs of `RUN` words (n-gram containment, Broder 1997): a product of sparse
indicator matrices. Texts shorter than a run are compared as a whole only. In scripts without blanks every character is a word.
A known case is https://github.com/allenai/natural-instructions/issues/773.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from scipy.sparse import csr_array

from instune.records import Example, Task

RUN = 8  # words
NEAR = 0.8  # share of the target's runs
BATCH = 5_000  # sources at once
ROWS = 1_000  # targets at once
UNSPACED = (  # Thai to Burmese, Khmer, kana and bopomofo, Han
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
MULTIPLIERS = np.random.Generator(np.random.PCG64(0)).integers(2**64, size=RUN, dtype=np.uint64) | np.uint64(1)


def normalized(text: str) -> str:
    """The words in lower case and composed characters (NFC), one blank between them."""
    return " ".join(WORD.findall(unicodedata.normalize("NFC", text).lower()))


def asked(example: Example, tasks: Mapping[str, Task]) -> str:
    """What an example asks: its input, or the instruction where it has none."""
    return example.input if example.input.strip() else tasks[example.task_id].wordings[example.wording_index or 0]


def said(example: Example, tasks: Mapping[str, Task]) -> list[str]:
    """The texts of a source example that a target's may stand in: every user message, or what it asks."""
    if example.messages is None:
        return [asked(example, tasks)]
    return [message.content for message in example.messages if message.role == "user"]


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

    def add(self, targets: Sequence[Example], sources: Sequence[Example], pairs: np.ndarray, kind: str) -> None:
        """Count pairs of examples, places in `targets` and `sources`, (2, N)."""
        rows, columns = (
            [examples[place] for place in places] for examples, places in zip((targets, sources), pairs, strict=True)
        )
        self.pairs.update((row.task_id, column.task_id, kind) for row, column in zip(rows, columns, strict=True))
        self.targets.update((row.task_id, row.example_id) for row in rows)
        self.sources.update((column.task_id, column.example_id) for column in columns)


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
    cells = np.unique(owners[found] * len(vocabulary) + columns[found])
    places = (cells // len(vocabulary), cells % len(vocabulary))
    return csr_array((np.ones(len(cells), np.int32), places), shape=(texts, len(vocabulary)))


def _probes(texts: csr_array) -> csr_array:
    """The runs of each text, (T, V), one of which a near one must hold: one more than may be missing, the rarest.

    Without them a phrase that many texts share would make every pair a candidate.
    """
    frequency = texts.sum(axis=0)
    cells = np.lexsort((frequency[texts.indices], np.repeat(np.arange(texts.shape[0]), np.diff(texts.indptr))))
    sizes = np.diff(texts.indptr)
    place_in_row = np.arange(texts.nnz) - np.repeat(texts.indptr[:-1], sizes)
    kept = place_in_row < np.repeat(sizes - np.ceil(NEAR * sizes).astype(int) + 1, sizes)
    rows = np.repeat(np.arange(texts.shape[0]), sizes)[kept]
    columns = texts.indices[cells][kept]
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=texts.shape)


class _Runs:
    """The runs of the targets, against which sources are held."""

    def __init__(self, texts: list[str]) -> None:
        self.numbers: dict[str, int] = {}
        for text in texts:
            for word in text.split():
                self.numbers.setdefault(word, len(self.numbers))
        owners, hashes = runs(texts, self.numbers)
        self.vocabulary = np.unique(hashes)
        if len(self.vocabulary):
            self.held = _indicator(owners, hashes, self.vocabulary, len(texts))  # (targets, runs)
            self.probes, self.needed = _probes(self.held), NEAR * self.held.sum(axis=1)

    def near(self, words: list[str]) -> Iterator[np.ndarray]:
        """Blocks of places (2, N): a target, and a source that holds `NEAR` of its runs."""
        if not len(self.vocabulary):
            return
        sources = _indicator(*runs(words, self.numbers), self.vocabulary, len(words))
        for start in range(0, self.held.shape[0], ROWS):
            candidates = (self.probes[start : start + ROWS] @ sources.T).tocoo()
            for cut in range(0, candidates.nnz, BATCH):
                rows, columns = candidates.row[cut : cut + BATCH] + start, candidates.col[cut : cut + BATCH]
                enough = self.held[rows].multiply(sources[columns]).sum(axis=1) >= self.needed[rows]
                yield np.stack([rows[enough], columns[enough]])


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    stream = iter(examples)
    while batch := list(islice(stream, BATCH)):
        yield batch


def measure(targets: Sequence[Example], sources: Iterable[Example], tasks: Mapping[str, Task]) -> Overlap:
    """Every pair of a target and a source example whose texts are equal or near; sources are read in batches."""
    found, texts = Overlap(), [normalized(asked(example, tasks)) for example in targets]
    equal: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if text:
            equal.setdefault(text, []).append(index)
    known = _Runs(texts)
    for batch in _batches(sources):
        parts = [(place, normalized(text)) for place, example in enumerate(batch) for text in said(example, tasks)]
        owners, words = np.array([place for place, _ in parts], dtype=int), [text for _, text in parts]
        same = {(row, place) for place, text in parts for row in equal.get(text, ())}
        near = {(row, place) for block in known.near(words) for row, place in zip(block[0], owners[block[1]], strict=True)} - same
        for kind, pairs in (("exact", same), ("near", near)):
            found.add(targets, batch, np.array(sorted(pairs), dtype=int).reshape(-1, 2).T, kind)
    return found


def summary(found: Overlap) -> list[dict[str, str | int]]:
    """One entry per pair of tasks, most pairs of examples first."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (target, source, kind), count in found.pairs.items():
        counts.setdefault((target, source), Counter())[kind] = count
    ordered = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    return [{"target": pair[0], "source": pair[1], "exact": count["exact"], "near": count["near"]} for pair, count in ordered]
