"""Rank source tasks by how close their wordings are to a target's: pure functions on a similarity matrix.

Similarities, mostly cosines, are in millionths, as integers: what differs by less is a tie, whatever the batch size or the
machine did to the last bits, and a tie is resolved by position. Columns are sorted by task, so position is order of task id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from instune.errors import InputError

Aggregation = Literal["vote", "max", "mean", "mean_of_max"]
VOTES = 10  # source wordings that one target wording votes for
UNIT = 1_000_000
ROWS = 64  # target wordings compared at once: 100 thousand source wordings then take 26 MB per matrix


@dataclass(frozen=True)
class Ranking:
    """Source tasks of one target, best first.

    Attributes:
        order: task positions, (T,).
        scores: by task position, in millionths, (T,): of `vote` the highest cosine of any two wordings.
        votes: how often a wording of the task stood at rank 1, 2, ..., by task position, (T, VOTES); 0 without `vote`.
    """

    order: np.ndarray
    scores: np.ndarray
    votes: np.ndarray


def check_finite(vectors: np.ndarray, task_ids: Sequence[str]) -> None:
    """Refuse NaN and infinity, which would otherwise sort first.

    Raises:
        InputError: names the first task with such a vector.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InputError(f"task {task_ids[bad[0]]}: its embedding holds NaN or infinity. Look at the encoder; run embed again.")


def similarity(targets: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Cosines of unit vectors, (m, d) against (n, d), in millionths: int32 (m, n)."""
    cosines = targets @ sources.T
    cosines *= UNIT
    return np.rint(cosines, out=cosines).astype(np.int32)


def nearest(similarities: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` highest values of each row, best first, equal values by position: (m, min(count, n))."""
    last = similarities.shape[1] - count
    if last <= 0:
        return np.argsort(-similarities, axis=1, kind="stable")
    floors = np.partition(similarities, last, axis=1)[:, last]
    rows = []
    for row, floor in zip(similarities, floors, strict=True):
        candidates = np.flatnonzero(row >= floor)
        rows.append(candidates[np.argsort(-row[candidates], kind="stable")[:count]])
    return np.stack(rows)


def count_votes(similarities: np.ndarray, owners: np.ndarray, tasks: int, *, only_positive: bool = False) -> np.ndarray:
    """How many target wordings have a wording of task t at rank r: (T, VOTES).

    Args:
        similarities: (m, n).
        owners: task position of each column, (n,).
        tasks: number of source tasks, T.
        only_positive: a similarity of 0 or less casts no vote.
    """
    columns = nearest(similarities, VOTES)  # (m, at most VOTES)
    votes = np.zeros((tasks, VOTES), dtype=np.int64)
    ranks = np.broadcast_to(np.arange(columns.shape[1]), columns.shape)
    cast = np.take_along_axis(similarities, columns, axis=1) > 0 if only_positive else np.ones(columns.shape, dtype=bool)
    np.add.at(votes, (owners[columns[cast]], ranks[cast]), 1)
    return votes


def highest(similarities: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The highest value in the columns of each task: (T,). `starts` holds each task's first column, (T,)."""
    return np.maximum.reduceat(similarities.max(axis=0), starts)


def total(similarities: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The sum over the rows and the columns of each task: int64 (T,)."""
    return np.add.reduceat(similarities.sum(axis=0, dtype=np.int64), starts)


def total_of_highest(similarities: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The sum over rows of the highest value in the columns of each task: int64 (T,)."""
    return np.maximum.reduceat(similarities, starts, axis=1).sum(axis=0, dtype=np.int64)


SCORES = {  # aggregation -> score of a block of rows, how the scores of blocks combine
    "vote": (highest, np.maximum),
    "max": (highest, np.maximum),
    "mean": (total, np.add),
    "mean_of_max": (total_of_highest, np.add),
}


def rank_similarities(
    blocks: Iterable[np.ndarray],
    owners: np.ndarray,
    tasks: int,
    aggregation: Aggregation,
    *,
    only_positive: bool = False,
) -> Ranking:
    """Rank tasks by the similarity of their wordings to the target's; ties by position.

    `vote` compares votes lexicographically from rank 1 on, then the highest similarity: the order that INSTA's weights
    10^(3 (10 - rank)) encode (arXiv 2404.16418, deleted selection code), without their floats; tasks without a vote follow by
    similarity, so that more than the voted can be taken. `max` is the highest similarity of any two wordings, `mean` the mean
    over all pairs (INSTA's older code), `mean_of_max` the mean over target wordings of the highest with the task.

    Args:
        blocks: similarities in millionths, integers (m_i, n), whose rows together are the target's wordings; at least one.
        owners: task position of each source wording, (n,), ascending.
        tasks: number of source tasks, T; each owns a wording.
        aggregation: how the similarities of wordings become an order of tasks.
        only_positive: a similarity of 0 or less casts no vote. Right for shares of words, where 0 is nothing in common;
            a cosine has no such point, and votes as in INSTA whatever its sign.
    """
    score, combine = SCORES[aggregation]
    starts = np.searchsorted(owners, np.arange(tasks))
    votes, scores, rows = np.zeros((tasks, VOTES), dtype=np.int64), [], 0
    for similarities in blocks:
        scores.append(score(similarities, starts))
        rows += len(similarities)
        if aggregation == "vote":
            votes += count_votes(similarities, owners, tasks, only_positive=only_positive)
    combined = combine.reduce(scores)
    if aggregation in ("mean", "mean_of_max"):
        sizes = np.diff(starts, append=len(owners)) if aggregation == "mean" else 1
        combined = np.rint(combined / (rows * sizes)).astype(np.int64)
    keys = [-combined, *(-votes[:, place] for place in reversed(range(VOTES)))]  # lexsort: the last key decides first
    return Ranking(np.lexsort(keys), combined, votes)


def rank(targets: np.ndarray, sources: np.ndarray, owners: np.ndarray, tasks: int, aggregation: Aggregation = "vote") -> Ranking:
    """Rank tasks by the cosines of their wordings with the target's, as `rank_similarities` says.

    Args:
        targets: unit vectors of the target's wordings, (m, d).
        sources: unit vectors of the source wordings, (n, d).
        owners: task position of each source wording, (n,), ascending.
        tasks: number of source tasks, T; each owns a wording.
        aggregation: how the similarities of wordings become an order of tasks.
    """
    blocks = (similarity(targets[start : start + ROWS], sources) for start in range(0, len(targets), ROWS))
    return rank_similarities(blocks, owners, tasks, aggregation)
