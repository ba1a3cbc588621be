"""An order of all source tasks for each target, one function per way to find it; best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from instune.errors import InputError
from instune.records import Task
from instune.selection import lexical
from instune.selection.rank import Aggregation, Ranking, check_finite, rank, rank_similarities
from instune.selection.table import Embeddings


@dataclass(frozen=True)
class Ranked:
    """Source tasks of one target, best first.

    Attributes:
        task_ids: all that can be ranked.
        scores: in the same order, in millionths; None where the order is drawn.
        votes: in the same order; empty lists where none are counted.
        compared: multiplications and additions that the comparison took, estimated.
        truncated: how many of the target's compared texts were not read to their end.
    """

    task_ids: list[str]
    scores: list[int] | None
    votes: list[list[int]]
    compared: int = 0
    truncated: int = 0


def _ranked(ranking: Ranking, sources: Sequence[str], *, votes: bool, compared: int, truncated: int = 0) -> Ranked:
    order = ranking.order.tolist()
    counted = [ranking.votes[task].tolist() if votes else [] for task in order]
    return Ranked([sources[task] for task in order], ranking.scores[order].tolist(), counted, compared, truncated)


def distinct(texts: Sequence[str], limit: int | None = None) -> list[int]:
    """Places of the first `limit` distinct texts, ascending."""
    return sorted({text: index for index, text in reversed(list(enumerate(texts)))}.values())[:limit]


def check_instruction(task: Task) -> None:
    """Refuse a task that says nothing by which it could be compared.

    Raises:
        InputError: its only wording is empty, as those of chat pools are.
    """
    if task.wordings == ("",):
        raise InputError(
            f"task {task.task_id} has no instruction to compare: its examples are conversations."
            " Set select.method to one that needs no instruction (random, all, category, examples, hidden_states, gradient),"
            " or leave its pool out."
        )


class Wordings:
    """Vectors of the wordings of chosen tasks; a wording that repeats within a task counts once."""

    def __init__(self, rows: Embeddings, tasks: Mapping[str, Task]) -> None:
        self.rows, self.tasks = rows, tasks
        self.place = {key: row for row, key in enumerate(zip(rows.task_ids, rows.indices.tolist(), strict=True))}

    def of(self, wanted: Sequence[str], limit: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
        """Vectors of the wanted tasks' wordings, in their order.

        Args:
            limit: at most so many of each task, the first ones.

        Returns:
            vectors (n, d); positions in `wanted` of their tasks, ascending, (n,); how many of the wordings were truncated.

        Raises:
            InputError: a wanted task's wording has no row, or a vector that is not finite.
        """
        chosen, owners = [], []
        for owner, task_id in enumerate(wanted):
            check_instruction(self.tasks[task_id])
            for index in distinct(self.tasks[task_id].wordings, limit):
                if (task_id, index) not in self.place:
                    raise InputError(f"task {task_id}: wording {index} has no embedding. Run the stage embed on this pool.")
                chosen.append(self.place[task_id, index])
                owners.append(owner)
        vectors = self.rows.vectors[chosen]
        check_finite(vectors, [wanted[owner] for owner in owners])
        return vectors, np.array(owners), int(self.rows.truncated[chosen].sum())


def by_wordings(
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings,
    aggregation: Aggregation,
    limit: int | None,
) -> tuple[dict[str, Ranked], int]:
    """By the cosines of wordings, as `rank` says; and how many of the source wordings were truncated."""
    wordings, ranked = Wordings(rows, tasks), {}
    vectors, owners, truncated = wordings.of(sources)
    for target in targets:
        own, _, cut = wordings.of([target], limit)
        ranking = rank(own, vectors, owners, len(sources), aggregation)
        ranked[target] = _ranked(
            ranking, sources, votes=aggregation == "vote", compared=2 * own.size * len(vectors), truncated=cut
        )
    return ranked, truncated


def by_words(
    tasks: Mapping[str, Task], targets: Sequence[str], sources: Sequence[str], aggregation: Aggregation, limit: int | None
) -> dict[str, Ranked]:
    """By the words that wordings share, as `lexical.Corpus` says, aggregated as cosines are; without a shared word no vote.

    Raises:
        InputError: a task without instruction.
    """
    for task_id in (*sources, *targets):
        check_instruction(tasks[task_id])
    texts = [[tasks[task_id].wordings[place] for place in distinct(tasks[task_id].wordings)] for task_id in sources]
    owners = np.repeat(np.arange(len(sources)), [len(part) for part in texts])
    corpus, ranked = [text for part in texts for text in part], {}
    index = lexical.Corpus(corpus)
    for target in targets:
        own = [tasks[target].wordings[place] for place in distinct(tasks[target].wordings, limit)]
        ranking = rank_similarities(index.similarities(own), owners, len(sources), aggregation, only_positive=True)
        compared = 2 * sum(map(len, lexical.words(own))) * len(corpus)
        ranked[target] = _ranked(ranking, sources, votes=aggregation == "vote", compared=compared)
    return ranked


def by_category(tasks: Mapping[str, Task], targets: Sequence[str], sources: Sequence[str], seed: int) -> dict[str, Ranked]:
    """Source tasks of the target's category, then the others, each in an order drawn by seed and target: an oracle.

    Raises:
        InputError: a target's category has no source task: the oracle would be a random choice by another name.
    """
    alone = [target for target in targets if all(tasks[source].category != tasks[target].category for source in sources)]
    if alone:
        raise InputError(
            f"select.method: category knows nothing of {len(alone)} of {len(targets)} target(s): no source task shares the"
            f" category {tasks[alone[0]].category!r} of {alone[0]}.\n"
            "  It is an oracle for pools whose categories lie on both sides of the split. Choose another method or target."
        )
    drawn = at_random(targets, sources, seed)
    return {
        target: Ranked(sorted(ranked.task_ids, key=lambda task_id: tasks[task_id].category != tasks[target].category), None, [])
        for target, ranked in drawn.items()
    }


def at_random(targets: Sequence[str], sources: Sequence[str], seed: int) -> dict[str, Ranked]:
    """An order drawn by seed and target id alone, so that a larger `top_k` keeps what a smaller one took."""
    return {target: Ranked(Random(f"{seed} {target}").sample(sources, len(sources)), None, []) for target in targets}
