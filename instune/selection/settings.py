"""The section `select`: which source tasks, and which of their examples, are trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.selection.rank import Aggregation

Method = Literal["instruction", "random", "all", "category", "examples", "bm25", "hidden_states", "gradient"]


class ExamplesPerTask(Section):
    """A part of each chosen task's examples."""

    count: PositiveInt  # of each chosen task, for each target that chose it; a task that has fewer gives them all
    by: Literal["first", "nearest"]  # first: in pool order; nearest: closest to the target, by the score that chose the task


class Select(Section):
    """Parameters of select_tasks."""

    # instruction: similar wordings; bm25: shared words; examples, hidden_states, gradient: similar examples, of which the target
    # gives some that are not evaluated; category: the target's own, an oracle; random: drawn by `seed` and target; all: every one
    method: Method
    aggregation: Aggregation  # from similar wordings to similar tasks: vote (INSTA) | max | mean | mean_of_max; instruction, bm25
    top_k: PositiveInt  # source tasks per target; `all` takes every one
    max_target_wordings: PositiveInt | None  # compare the first so many of a target's wordings; null: all; instruction, bm25
    per_category_cap: PositiveInt | None  # of one category at most so many per target; null: no limit; not for `all`
    examples_per_task: ExamplesPerTask | None  # null: all examples of the chosen tasks
