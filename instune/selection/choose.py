"""Choose source tasks for each target: by instruction, at random, or all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

import numpy as np

from instune.errors import InputError
from instune.records import Task
from instune.selection.rank import UNIT, Aggregation, check_finite, rank
from instune.selection.table import Embeddings

Method = Literal["instruction", "random", "all"]
Choice = dict[str, Any]  # {"task_id", "score", "votes"}


def distinct(rows: Embeddings, tasks: Mapping[str, Task], wanted: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Vectors of the wanted tasks' wordings, in their order; a wording that repeats within a task counts once.

    Returns:
        vectors (n, d); positions in `wanted` of their tasks, ascending, (n,); how many of the wordings were truncated.

    Raises:
        InputError: a wanted task's wording has no row, or a vector that is not finite.
    """
    place = {(task_id, int(index)): row for row, (task_id, index) in enumerate(zip(rows.task_ids, rows.indices, strict=True))}
    chosen, owners = [], []
    for owner, task_id in enumerate(wanted):
        texts = tasks[task_id].wordings
        if texts == ("",):
            raise InputError(
                f"task {task_id} has no instruction to compare: its examples are conversations."
                " Set select.method to all or random, or leave its pool out."
            )
        for index in sorted({text: index for index, text in reversed(list(enumerate(texts)))}.values()):
            if (task_id, index) not in place:
                raise InputError(f"task {task_id}: wording {index} has no embedding. Run the stage embed on this pool.")
            chosen.append(place[task_id, index])
            owners.append(owner)
    vectors = rows.vectors[chosen]
    check_finite(vectors, [wanted[owner] for owner in owners])
    return vectors, np.array(owners), int(rows.truncated[chosen].sum())


def by_instruction(
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings,
    top_k: int,
    aggregation: Aggregation,
) -> tuple[dict[str, list[Choice]], dict[str, float | None], int]:
    """The `top_k` source tasks whose wordings are closest to each target's, best first.

    Returns:
        target -> choices, the score a cosine as `rank` defines it; target -> score of the last one taken minus the first one left
        out, None where none is left out, below 0 where votes overrule cosines; how many wordings of targets and sources were
        truncated.
    """
    sources = sorted(sources)
    vectors, owners, truncated = distinct(rows, tasks, sources)
    chosen, margins = {}, {}
    for target in targets:
        own, _, cut = distinct(rows, tasks, [target])
        truncated += cut
        ranking = rank(own, vectors, owners, len(sources), aggregation)
        scores = ranking.scores[ranking.order].tolist()
        votes = ranking.votes.tolist() if aggregation == "vote" else [[]] * len(sources)
        chosen[target] = [
            {"task_id": sources[task], "score": scores[place] / UNIT, "votes": votes[task]}
            for place, task in enumerate(ranking.order[:top_k])
        ]
        margins[target] = (scores[top_k - 1] - scores[top_k]) / UNIT if top_k < len(sources) else None
    return chosen, margins, truncated


def without_ranking(
    targets: Sequence[str], sources: Sequence[str], top_k: int | None, seed: int
) -> tuple[dict[str, list[Choice]], dict[str, float | None], int]:
    """All source tasks, or `top_k` of them drawn for each target by seed and target id; by id, without score and votes."""
    chosen = {}
    for target in targets:
        drawn = sorted(sources)
        if top_k is not None:
            drawn = sorted(Random(f"{seed} {target}").sample(drawn, top_k))
        chosen[target] = [{"task_id": task_id, "score": None, "votes": []} for task_id in drawn]
    return chosen, dict.fromkeys(targets), 0


def choose(
    method: Method,
    *,
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings,
    top_k: int,
    aggregation: Aggregation,
    seed: int,
) -> dict[str, Any]:
    """The content of `data/selection.json`.

    Returns:
        `targets`: target -> choices, best first ({"task_id", "score", "votes"}; votes [] where none are counted; `random` and
        `all` have score None);
        `selected`: their union, sorted; `margin`: target -> gap in score at the cut, or None; `truncated`: number of compared
        wordings that the encoder did not read to their end; `method`; `top_k`, None for `all`.

    Raises:
        InputError: more tasks asked for than there are, or an embedding that is missing or not finite.
    """
    if method != "all" and top_k > len(sources):
        raise InputError(
            f"select.top_k: {top_k} is more than the {len(sources)} source tasks there are. Allowed: 1 to {len(sources)}."
        )
    taken = None if method == "all" else top_k
    if method == "instruction":
        chosen, margins, truncated = by_instruction(tasks, targets, sources, rows, top_k, aggregation)
    else:
        chosen, margins, truncated = without_ranking(targets, sources, taken, seed)
    return {
        "method": method,
        "top_k": taken,
        "targets": chosen,
        "selected": sorted({choice["task_id"] for choices in chosen.values() for choice in choices}),
        "margin": margins,
        "truncated": truncated,
    }
