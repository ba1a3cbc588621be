"""The sections `align`, what the encoder learns before it compares, and `select`, which tasks and examples are trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from instune.config import Section
from instune.selection.alike import Alike
from instune.selection.rank import Aggregation

Method = Literal["instruction", "random", "all", "category", "examples", "bm25", "hidden_states", "gradient"]


class Align(Section):
    """The encoder and its alignment."""

    encoder: str  # packaged:all-minilm-l6-v2, a folder, or a Hub name
    revision: Annotated[str, Field(min_length=1)] | None  # commit, branch or tag of a Hub encoder; null for the other two
    epochs: NonNegativeInt  # passes over pairs of wordings; 0 leaves the encoder as it is, and the next ones without use
    # wordings: a positive pair is two wordings of a task (INSTA); examples: its definition followed by positive examples is one
    # more, for tasks with one wording; category: two wordings of a category
    alike: Alike
    pairs: PositiveInt | None  # of each label, drawn to train on, and as many to develop; null: all that INSTA's recipe gives
    batch_size: PositiveInt  # pairs per step
    learning_rate: PositiveFloat  # of AdamW, after warm-up


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
