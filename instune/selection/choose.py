"""Choose source tasks for each target, and examples of them: the content of `data/selection.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from instune.errors import InputError
from instune.records import Task
from instune.selection.instances import Instances, by_instances, nearest_examples
from instune.selection.rank import UNIT
from instune.selection.rankers import Ranked, at_random, by_category, by_wordings, by_words
from instune.selection.settings import ExamplesPerTask, Select
from instune.selection.table import Embeddings

KINDS = {"instruction": "wording", "examples": "example", "hidden_states": "hidden_state", "gradient": "gradient"}
MORE = "lower targets.examples_per_task, or let the pool hold more examples."
WAYS_OUT = {
    "examples": f"Raise embed.inputs (8 is a start), {MORE}",
    "hidden_states": f"Put hidden_state into embed_model.kinds, raise embed_model.examples, {MORE}",
    "gradient": f"Put gradient into embed_model.kinds, raise embed_model.examples, {MORE}",
}


def rank_sources(
    select: Select,
    *,
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings | None,
    evaluated: int,
    seed: int,
) -> tuple[dict[str, Ranked], int]:
    """The order of source tasks for each target, and how many of the compared source texts were truncated.

    Raises:
        InputError: more tasks asked for than there are, or an embedding that is missing or not finite.
    """
    method, sources = select.method, sorted(sources)
    if method != "all" and select.top_k > len(sources):
        raise InputError(
            f"select.top_k: {select.top_k} is more than the {len(sources)} source tasks there are. Allowed: 1 to {len(sources)}."
        )
    if method == "instruction":
        return by_wordings(tasks, targets, sources, rows, select.aggregation, select.max_target_wordings)
    if method == "bm25":
        return by_words(tasks, targets, sources, select.aggregation, select.max_target_wordings), 0
    if method in WAYS_OUT:
        return by_instances(targets, sources, Instances(rows, evaluated, WAYS_OUT[method]))
    if method == "category":
        return by_category(tasks, targets, sources, seed), 0
    return at_random(targets, sources, seed), 0


def take(ranked: Ranked, tasks: Mapping[str, Task], top_k: int, cap: int | None) -> tuple[list[int], int | None]:
    """Places of the first `top_k` with at most `cap` of one category, and of the first one left out for its place alone."""
    places, taken = [], Counter()
    for place, task_id in enumerate(ranked.task_ids):
        category = tasks[task_id].category
        if cap is not None and taken[category] == cap:
            continue
        if len(places) == top_k:
            return places, place
        taken[category] += 1
        places.append(place)
    return places, None


def check_count(select: Select, ranked: Mapping[str, Ranked], places: Mapping[str, Sequence[int]], sources: int) -> None:
    """Refuse a budget that cannot be met.

    Raises:
        InputError: fewer than top_k source tasks there are, can be ranked, or are left by the cap.
    """
    for target, chosen in places.items():
        if len(chosen) == select.top_k:
            continue
        rankable = len(ranked[target].task_ids)
        if rankable < sources:
            raise InputError(
                f"select.top_k: {select.top_k} is more than the {rankable} of {sources} source tasks that have embedded examples."
                f" Allowed: 1 to {rankable}."
            )
        raise InputError(
            f"select.per_category_cap: {select.per_category_cap} leaves {len(chosen)} of select.top_k {select.top_k} source tasks"
            f" for target {target}. Raise the cap, lower top_k to at most {len(chosen)}, or set the cap to null."
        )


def some_examples(
    wanted: ExamplesPerTask,
    chosen: Mapping[str, Sequence[str]],
    ids: Mapping[str, Sequence[str]],
    instances: Instances | None,
) -> dict[str, list[str]]:
    """Task id -> ids of the examples to train on, in pool order; the union over the targets that chose the task.

    Args:
        wanted: how many, and by what.
        chosen: target -> source tasks.
        ids: task id -> ids of all its examples, in pool order.
        instances: vectors of examples, for `nearest`.

    Raises:
        InputError: `nearest` with a method that does not score examples, or with fewer examples embedded than are asked for.
    """
    if wanted.by == "first":
        return {task_id: list(ids[task_id][: wanted.count]) for task_id in sorted(ids)}
    if instances is None:
        raise InputError(
            "select.examples_per_task.by: nearest needs a method that scores examples: examples, hidden_states or gradient.\n"
            "  Choose one of them, or by: first."
        )
    for task_id in sorted(ids):
        embedded = len(instances.places[task_id])
        if embedded < min(wanted.count, len(ids[task_id])):
            raise InputError(
                f"select.examples_per_task.count: {wanted.count} is more than the {embedded} examples of task {task_id} that are"
                f" embedded.\n  Lower select.examples_per_task.count to at most {embedded}. Or: {instances.way_out}"
            )
    indices = nearest_examples(chosen, instances, wanted.count)
    return {task_id: [ids[task_id][index] for index in sorted(indices[task_id])] for task_id in sorted(indices)}


def choose(
    select: Select,
    *,
    tasks: Mapping[str, Task],
    targets: Sequence[str],
    sources: Sequence[str],
    rows: Embeddings | None,
    evaluated: int,
    seed: int,
) -> dict[str, Any]:
    """Rank the source tasks and choose of them, as `rank_sources` and `selection_of` say.

    Args:
        select: the section.
        tasks: the pool.
        targets: ids of the target tasks.
        sources: ids of the tasks that may be trained on.
        rows: vectors of the kind that the method compares (`KINDS`); None where it compares none.
        evaluated: how many examples of a target are evaluated; they do not choose.
        seed: of `random` and `category`.
    """
    ranked, truncated = rank_sources(
        select, tasks=tasks, targets=targets, sources=sources, rows=rows, evaluated=evaluated, seed=seed
    )
    return selection_of(select, ranked, truncated, tasks=tasks, sources=sources)


def selection_of(
    select: Select, ranked: Mapping[str, Ranked], truncated: int, *, tasks: Mapping[str, Task], sources: Sequence[str]
) -> dict[str, Any]:
    """The content of `data/selection.json` but for `examples`.

    Args:
        select: the section.
        ranked: target -> order of the source tasks.
        truncated: how many of the compared source texts were truncated.
        tasks: the pool.
        sources: ids of the tasks that may be trained on.

    Returns:
        `targets`: target -> choices, best first ({"task_id", "score", "votes"}; score None where the order is drawn; votes []
        where none are counted); `selected`: their union, sorted; `margin`: target -> gap in score at the cut, None where nothing
        is left out or the order is drawn, below 0 where votes overrule scores; `truncated`: number of compared texts that were
        not read to their end; `filled`: target -> how many were taken from other categories, of `category`; `unranked`: source
        tasks without embedded examples, of the methods that compare those; `cost`: {"kind", "flops"}, the vectors compared, and
        the estimated operations of the comparison alone; `method`; `top_k`, None for `all`.

    Raises:
        InputError: a budget that cannot be met.
    """
    every = select.method == "all"
    cap = None if every else select.per_category_cap
    cuts = {target: take(ranked[target], tasks, len(sources) if every else select.top_k, cap) for target in ranked}
    if not every:
        check_count(select, ranked, {target: places for target, (places, _) in cuts.items()}, len(sources))
    choices = {target: _choices(ranked[target], places) for target, (places, _) in cuts.items()}
    return {
        "method": select.method,
        "top_k": None if every else select.top_k,
        "targets": choices,
        "selected": sorted({choice["task_id"] for chosen in choices.values() for choice in chosen}),
        "margin": {target: _margin(ranked[target], places, left) for target, (places, left) in cuts.items()},
        "truncated": truncated + sum(one.truncated for one in ranked.values()),
        "filled": {
            target: sum(tasks[choice["task_id"]].category != tasks[target].category for choice in chosen)
            for target, chosen in choices.items()
            if select.method == "category"
        },
        "unranked": len(sources) - min(len(one.task_ids) for one in ranked.values()),
        "cost": {"kind": KINDS.get(select.method), "flops": sum(one.compared for one in ranked.values())},
    }


def _choices(ranked: Ranked, places: Sequence[int]) -> list[dict[str, Any]]:
    """By place; drawn ones by id."""
    if ranked.scores is None:
        return [{"task_id": name, "score": None, "votes": []} for name in sorted(ranked.task_ids[place] for place in places)]
    return [
        {"task_id": ranked.task_ids[place], "score": ranked.scores[place] / UNIT, "votes": ranked.votes[place]}
        for place in places
    ]


def _margin(ranked: Ranked, places: Sequence[int], left: int | None) -> float | None:
    if ranked.scores is None or left is None:
        return None
    return (ranked.scores[places[-1]] - ranked.scores[left]) / UNIT
