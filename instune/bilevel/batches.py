"""Meta-train and meta-test tasks, and the batches that each step draws from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from instune.bilevel.parameterizations.base import Material
from instune.errors import InputError
from instune.prompts import stable_integer
from instune.records import Example, Task
from instune.tuning.labels import loss_weights
from instune.tuning.rows import Counts, RowBuilder, Show, TrainingRow, show_human

TRIES = 50  # draws for one place of a batch before giving up


def split_folds(tasks: Sequence[Task], folds: int, *, seed: int) -> list[list[str]]:
    """Task ids by fold, every fold across the categories: each category is dealt out in a seeded order, the deal going on where
    the last category's ended.

    Raises:
        InputError: fewer tasks than folds.
    """
    if len(tasks) < folds:
        raise InputError(
            f"optimize.folds: {folds} folds need at least {folds} selected tasks with examples, and "
            f"there are {len(tasks)}: one fold's tasks are held out while the others' instructions are learned.\n"
            "  Select more tasks (select.top_k), use fewer folds, or set optimize.method: human."
        )
    order = sorted(tasks, key=lambda task: (task.category, stable_integer(seed, "fold", task.task_id)))
    return [sorted(task.task_id for task in order[fold::folds]) for fold in range(folds)]


class Draws:
    """Batches by seed and step alone: a resumed run draws what an unbroken one would have drawn."""

    def __init__(self, builder: RowBuilder, examples: Mapping[str, Sequence[Example]], *, seed: int) -> None:
        self.builder, self.examples, self.seed = builder, examples, seed
        self.counts = Counts()

    def batch(self, task_ids: Sequence[str], size: int, *key: str | int) -> list[TrainingRow]:
        """`size` rows: a task uniformly, then one of its examples uniformly; an example that does not fit is drawn again.

        Args:
            key: names the draw (fold, level, step).

        Raises:
            InputError: a task without examples, or no example fits.
        """
        empty = [task_id for task_id in task_ids if not self.examples.get(task_id)]
        if empty:
            raise InputError(
                f"optimize_instructions: task {empty[0]} has no examples, and a batch of {size} is to be drawn from it.\n"
                "  Leave it out of the selection, or give the pool examples of it."
            )
        generator = random.Random(stable_integer(self.seed, *key))
        rows: list[TrainingRow] = []
        for _ in range(TRIES * size):
            task_id = generator.choice(task_ids)
            row = self.builder.build(generator.choice(self.examples[task_id]), self.counts)
            if row is not None:
                rows.append(row)
            if len(rows) == size:
                return rows
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.counts.dropped.items()))
        raise InputError(
            f"optimize_instructions: no batch of {size} examples fits, from tasks {_some(task_ids)} ({reasons}).\n"
            "  Raise prompt.max_tokens, or lower prompt.max_input_tokens, optimize.embedder.soft_tokens or "
            "optimize.extractor.max_tokens."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def draws_of(material: Material, show: Show = show_human) -> Draws:
    """The draws of the material's examples, loss on outputs alone.

    Args:
        show: what rows show for instruction and worked examples.
    """
    builder = RowBuilder(
        material.tasks,
        material.tokenizer,
        material.template,
        material.prompt,
        weights=loss_weights("it"),
        normalize_by="weights",
        seed=material.seed,
        show=show,
    )
    return Draws(builder, material.examples, seed=material.seed)
