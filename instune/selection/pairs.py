"""Pairs of wordings to align the encoder on, by INSTA's recipe (arXiv 2404.16418; deleted file make_datasets_train.py).

Positives are pairs of wordings of one task (or of what `alike.said_alike` groups). A negative pairs a wording with one of another
task that the unaligned encoder finds unlike it. All wordings come from source tasks; development tasks are set apart by task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np

from instune.errors import InputError

POSITIVE_SHARE = 0.4  # of the pairs of each training task
DEVELOPMENT_SHARE = 0.2  # of the tasks that have two wordings or more
UNLIKE = 0.3  # base cosine below which a wording of another task is a negative
REUSE = 4  # how often one wording is the second of a negative
TRIES = 100  # draws before a wording goes without a negative


@dataclass(frozen=True)
class Pairs:
    """Rows of two wordings, and 1.0 where they say the same task, 0.0 where not."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    labels: tuple[float, ...]


def split_tasks(wordings: Mapping[str, Sequence[str]], seed: int) -> tuple[list[str], list[str]]:
    """Task ids for training and for development, sorted. Development tasks are drawn among those with two wordings or more.

    Raises:
        InputError: fewer than three tasks have two wordings: two develop, one trains.
    """
    several = sorted(task_id for task_id, texts in wordings.items() if len(set(texts)) > 1)
    if len(several) < 3:
        raise InputError(
            f"align.epochs: alignment learns from source tasks (of alike: category, from categories) with two wordings or more;"
            f" it needs 3, and {len(several)} of {len(wordings)} have them.\n"
            "  Set align.alike: examples (of tasks with positive examples) or category, add wordings, or set align.epochs: 0."
        )
    count = min(max(round(DEVELOPMENT_SHARE * len(several)), 2), len(several) - 1)
    held = set(Random(f"{seed} development").sample(several, count))
    return sorted(set(wordings) - held), sorted(held)


def positives(wordings: Mapping[str, Sequence[str]], share: float, seed: int) -> list[tuple[str, str]]:
    """A drawn share of each task's pairs of unlike wordings; a fraction of a pair is drawn with that chance.

    Args:
        wordings: task id -> its wordings.
        share: of the pairs of each task, 0 to 1.
        seed: of the draw, together with the task id.
    """
    chosen = []
    for task_id in sorted(wordings):
        pairs = list(combinations(dict.fromkeys(wordings[task_id]), 2))
        draw = Random(f"{seed} positives {task_id}")
        count = int(share * len(pairs) + draw.random()) if share < 1 else len(pairs)
        chosen += draw.sample(pairs, count)
    return chosen


def negatives(
    wordings: Mapping[str, Sequence[str]], vectors: Mapping[str, np.ndarray], seed: int, *, limit: float = UNLIKE
) -> tuple[list[tuple[str, str]], int]:
    """One pair per wording with a wording of another task whose cosine is below `limit`, each used at most `REUSE` times.

    Args:
        wordings: task id -> its wordings.
        vectors: unit vector of every wording by the unaligned encoder, each (d,).
        seed: of the draws.
        limit: 0.3 in training; above 1 every wording of another task will do.

    Returns:
        The pairs, and for how many wordings none was found within `TRIES` draws.
    """
    rows = [(task_id, text) for task_id in sorted(wordings) for text in dict.fromkeys(wordings[task_id])]
    draw, uses, pairs, without = Random(f"{seed} negatives"), [0] * len(rows), [], 0
    for task_id, text in rows:
        for _ in range(TRIES):
            place = draw.randrange(len(rows))
            other, candidate = rows[place]
            unlike = other != task_id and candidate != text and float(vectors[text] @ vectors[candidate]) < limit
            if unlike and uses[place] < REUSE:
                uses[place] += 1
                pairs.append((text, candidate))
                break
        else:
            without += 1
    return pairs, without


def training_and_development(
    wordings: Mapping[str, Sequence[str]], vectors: Mapping[str, np.ndarray], seed: int
) -> tuple[Pairs, Pairs, int]:
    """Pairs of training tasks, pairs of development tasks (every positive, one random negative per wording), and how many
    training wordings go without a negative.

    Args:
        wordings: source task id -> its wordings.
        vectors: unit vector of every wording by the unaligned encoder, each (d,).
        seed: of the split and the draws.

    Raises:
        InputError: too few tasks have two wordings.
    """
    train, development = ({task: wordings[task] for task in part} for part in split_tasks(wordings, seed))
    unlike, without = negatives(train, vectors, seed)
    any_other, _ = negatives(development, vectors, seed, limit=2.0)
    return (
        _join(positives(train, POSITIVE_SHARE, seed), unlike),
        _join(positives(development, 1.0, seed), any_other),
        without,
    )


def drawn(pairs: Pairs, count: int, seed: int) -> Pairs:
    """At most `count` pairs of each label, drawn; positives first."""
    rows = sorted(zip(pairs.first, pairs.second, pairs.labels, strict=True))
    Random(f"{seed} drawn").shuffle(rows)
    kept = [row for label in (1.0, 0.0) for row in [row for row in rows if row[2] == label][:count]]
    return Pairs(*(tuple(row[part] for row in kept) for part in range(3)))


def _join(same: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> Pairs:
    """Positives, then negatives, as one set of labelled pairs."""
    rows = [*same, *other]
    return Pairs(tuple(first for first, _ in rows), tuple(second for _, second in rows), (1.0,) * len(same) + (0.0,) * len(other))
