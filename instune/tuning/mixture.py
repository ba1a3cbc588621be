"""Which tasks are held out for validation, and in which order examples of the others are trained on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from instune.errors import InputError
from instune.prompts import stable_integer
from instune.records import Example


def split_validation(task_ids: Sequence[str], *, share: float, seed: int) -> tuple[list[str], list[str]]:
    """Training and validation tasks, each in the order given; a share above 0 holds out at least one task.

    Raises:
        InputError: nothing would be left to train on.
    """
    count = max(1, round(share * len(task_ids))) if share > 0 else 0
    if count >= len(task_ids):
        raise InputError(
            f"finetune.validation_share: {share} of {len(task_ids)} selected task(s) leaves none to train on. "
            "Lower it (0 for no validation), or select more tasks."
        )
    order = sorted(task_ids, key=lambda task_id: stable_integer(seed, "validation", task_id))
    held_out = set(order[:count])
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
