"""Every similarity of a target's wordings with the source wordings, for what looks behind a ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from instune.records import Task
from instune.selection.lexical import Corpus
from instune.selection.rank import ROWS, similarity
from instune.selection.rankers import Wordings, distinct
from instune.selection.settings import Select
from instune.selection.table import Embeddings

METHODS = ("instruction", "bm25")  # those that compare wordings


@dataclass(frozen=True)
class Compared:
    """One target's wordings against those of all source tasks, as the ranking saw them.

    Attributes:
        similarities: in millionths, integers (m, n).
        own: place of each row among the target's wordings, (m,).
        owners: position of each column's task among the sources, ascending, (n,).
        places: place of each column among its task's wordings, (n,).
    """

    similarities: np.ndarray
    own: list[int]
    owners: np.ndarray
    places: list[int]


def compare(
    select: Select,
    *,
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings | None,
) -> Iterator[tuple[str, Compared]]:
    """Each target with its similarities; one target's are held at a time.

    Args:
        select: the section; its method is one of `METHODS`.
        tasks: the pool.
        targets: ids of the target tasks.
        sources: ids of the source tasks, sorted.
        rows: vectors of wordings, for `instruction`.
    """
    kept = [distinct(tasks[task_id].wordings) for task_id in sources]
    owners, places = np.repeat(np.arange(len(sources)), list(map(len, kept))), [place for part in kept for place in part]
    if select.method == "bm25":
        corpus = Corpus([tasks[task_id].wordings[place] for task_id, part in zip(sources, kept, strict=True) for place in part])
    else:
        wordings = Wordings(rows, tasks)
        vectors, _, _ = wordings.of(sources)
    for target in targets:
        own = distinct(tasks[target].wordings, select.max_target_wordings)
        if select.method == "bm25":
            blocks = corpus.similarities([tasks[target].wordings[place] for place in own])
        else:
            asked, _, _ = wordings.of([target], select.max_target_wordings)
            blocks = (similarity(asked[start : start + ROWS], vectors) for start in range(0, len(asked), ROWS))
        yield target, Compared(np.concatenate(list(blocks)), own, owners, places)
