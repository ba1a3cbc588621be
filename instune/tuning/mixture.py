"""Which tasks are held out for validation, and in which order examples of the others are trained on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heapreplace
from itertools import count

from instune.errors import InputError
from instune.prompts import stable_integer
from instune.records import Example


def split_validation(task_ids: Sequence[str], *, share: float, seed: int) -> tuple[list[str], list[str]]:
    """Training and validation tasks, each in the order given; a share above 0 holds out at least one task.

    Raises:
        InputError: nothing would be left to train on.
    """
    held = max(1, round(share * len(task_ids))) if share > 0 else 0
    if held >= len(task_ids):
        raise InputError(
            f"finetune.validation_share: {share} of {len(task_ids)} selected task(s) leaves none to train on. "
            "Lower it (0 for no validation), or select more tasks."
        )
    order = sorted(task_ids, key=lambda task_id: stable_integer(seed, "validation", task_id))
    held_out = set(order[:held])
    return [name for name in task_ids if name not in held_out], [name for name in task_ids if name in held_out]


def round_robin(examples: Mapping[str, Sequence[Example]], *, seed: int) -> Iterator[tuple[int, Example]]:
    """Endless (pass, example): one example of each task in turn, no example twice in a pass.

    Tasks stand in one seeded order, examples of a task in another one for each pass. A task whose examples are used up sits out
    the rest of the pass. Passes count from 0. Nothing is yielded where there are no examples.
    """
    tasks = sorted((task_id for task_id in examples if examples[task_id]), key=lambda name: stable_integer(seed, "order", name))
    number = 0
    while tasks:
        shuffled = {}
        for task_id in tasks:
            shuffled[task_id] = list(examples[task_id])
            random.Random(stable_integer(seed, number, task_id)).shuffle(shuffled[task_id])
        for turn in range(max(len(rows) for rows in shuffled.values())):
            for task_id in tasks:
                if turn < len(shuffled[task_id]):
                    yield number, shuffled[task_id][turn]
        number += 1


def weighted(
    examples: Mapping[str, Sequence[Example]], weights: Mapping[str, float], *, seed: int
) -> Iterator[tuple[int, Example]]:
    """Endless (pass, example), every task as often as its weight says: at any time within one draw of its share.

    The task that is furthest behind its share is next, ties in a seeded order; its own examples come in a seeded order, all of
    them before one is repeated. A pass is as many draws as there are examples, so a heavy task repeats within a pass and a light
    one is not used up. A task without a weight has 1. Nothing is yielded where nothing has both examples and a positive weight.
    """
    share = {task_id: weights.get(task_id, 1.0) for task_id, rows in examples.items() if rows}
    share = {task_id: weight for task_id, weight in share.items() if weight > 0}
    tasks = sorted(share, key=lambda name: stable_integer(seed, "order", name))
    length = sum(len(examples[task_id]) for task_id in examples)
    streams = {task_id: _cycle(examples[task_id], task_id, seed) for task_id in tasks}
    waiting = [(1 / share[task_id], place) for place, task_id in enumerate(tasks)]  # when a task's next draw falls due
    heapify(waiting)
    for number in count() if tasks else ():
        due, place = waiting[0]
        heapreplace(waiting, (due + 1 / share[tasks[place]], place))
        yield number // length, next(streams[tasks[place]])


def _cycle(examples: Sequence[Example], task_id: str, seed: int) -> Iterator[Example]:
    for turn in count():
        shuffled = list(examples)
        random.Random(stable_integer(seed, turn, task_id)).shuffle(shuffled)
        yield from shuffled
