"""Examples to training rows: tokenized, labelled, weighted, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile

from transformers import PreTrainedTokenizerBase

from instune.prompts import SEGMENTS, Prompt, choose_wording
from instune.records import Example, Exemplar, Task
from instune.templates import Template
from instune.tuning.labels import (
    EVERY_TURN,
    Dropped,
    LossTurns,
    Row,
    build_row,
    check_released,
    chosen_turns,
    labels_and_weights,
)
from instune.tuning.loss import Normalization, row_scale, row_share

OUTPUT = SEGMENTS.index("output")


@dataclass(frozen=True)
class TrainingRow:
    """One row as the loss needs it.

    Attributes:
        input_ids: (T,) token ids, 0 at the places of a soft instruction.
        labels: (T,) token ids where the weight is positive, else `IGNORE_INDEX`.
        loss_weights: (T,) weight times the row's scale.
        share: what the row adds to its step's denominator.
        soft: first position and length of the soft instruction.
        source: length of a seq2seq model's source, 0 for a causal model.
        example_id: unique within its task.
        segments: (T,) one byte a token, the index into `SEGMENTS` of its owner.
    """

    input_ids: list[int]
    labels: list[int]
    loss_weights: list[float]
    share: float
    task_id: str
    soft: tuple[int, int] = (0, 0)
    source: int = 0
    example_id: str = ""
    segments: bytes = b""


@dataclass(frozen=True)
class Shown:
    """What stands for instruction and worked examples in a row.

    Attributes:
        soft_tokens: places for embeddings instead of the instruction; 0: its text stays.
        wording: False leaves the instruction out.
        exemplars: worked examples to show; None: the task's own first ones.
    """

    soft_tokens: int = 0
    wording: bool = True
    exemplars: tuple[Exemplar, ...] | None = None


Show = Callable[[Task, Example], Shown]


def show_human(task: Task, example: Example) -> Shown:
    """The human instruction and the task's own worked examples, whatever the task."""
    return Shown()


@dataclass
class Counts:
    """What became of the examples: rows, tokens of each segment, tokens with loss, why rows were dropped, what was cut."""

    rows: int = 0
    weighted: int = 0
    merged: int = 0
    segments: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    truncated: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> int:
        """All tokens of all rows, those of soft instructions included."""
        return sum(self.segments.values())


class RowBuilder:
    """Turns examples into rows under one template, mask and normalization."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        tokenizer: PreTrainedTokenizerBase,
        template: Template,
        prompt: Prompt,
        *,
        weights: Mapping[str, float],
        normalize_by: Normalization,
        seed: int,
        turns: LossTurns = EVERY_TURN,
        show: Show = show_human,
    ) -> None:
        """Take the weight of every segment, which turns carry loss, and what to show for instruction and worked examples.

        Raises:
            InputError: `released_im` on another template than the published script's.
        """
        check_released(weights, template.released)
        self.tasks, self.tokenizer, self.template, self.prompt = tasks, tokenizer, template, prompt
        self.weights, self.turns, self.normalize_by, self.seed, self.show = weights, turns, normalize_by, seed, show

    def build(self, example: Example, counts: Counts) -> TrainingRow | None:
        """The example's row on its first reference, or None where it is dropped; `counts` is brought up to date."""
        task = self.tasks[example.task_id]
        shown = self.show(task, example)
        exemplars = task.positive_examples[: self.prompt.exemplars] if shown.exemplars is None else shown.exemplars
        row = build_row(
            task,
            example,
            tokenizer=self.tokenizer,
            prompt=self.template,
            wording=choose_wording(task, example, how=self.prompt.wording, seed=self.seed) if shown.wording else "",
            exemplars=exemplars,
            output=example.references[0],
            max_tokens=self.prompt.max_tokens,
            max_instruction_tokens=self.prompt.max_instruction_tokens,
            max_input_tokens=self.prompt.max_input_tokens,
            soft_tokens=shown.soft_tokens,
            instruction_position=self.prompt.instruction_position,
        )
        if isinstance(row, Dropped):
            counts.dropped[row.reason] += 1
            return None
        labels, weights = labels_and_weights(row, self.weights, self.turns)
        if not any(weights):
            counts.dropped["no token with a loss weight"] += 1
            return None
        counts.rows += 1
        counts.merged += row.merged
        counts.truncated.update(row.truncated)
        counts.segments.update(SEGMENTS[owner] for owner in row.segments)
        counts.weighted += sum(weight > 0 for weight in weights)
        scale = row_scale(weights, self.normalize_by)
        share = row_share(weights, self._output_tokens(row), self.normalize_by)
        return TrainingRow(
            row.input_ids,
            labels,
            [scale * weight for weight in weights],
            share,
            row.task_id,
            row.soft,
            row.source,
            row.example_id,
            bytes(row.segments),
        )

    def _output_tokens(self, row: Row) -> int:
        """Tokens of the answers that carry loss, those that a seq2seq model's encoder reads left out."""
        owned = list(zip(row.segments, chosen_turns(row, self.turns), strict=True))[row.source :]
        return sum(owner == OUTPUT and is_chosen for owner, is_chosen in owned)

    def fill(self, stream: Iterable[tuple[int, Example]], *, max_tokens: int) -> tuple[list[TrainingRow], Counts, int]:
        """Rows in stream order until the next one would exceed the budget, their counts, and the number of passes begun.

        A pass that yields no row ends the stream: nothing fits.

        Args:
            stream: (pass, example), endless or not.
            max_tokens: tokens over all rows, prompts included.
        """
        rows: list[TrainingRow] = []
        counts, used, current, rows_before = Counts(), 0, 0, 0
        for number, example in stream:
            if number > current:
                if len(rows) == rows_before:
                    break
                current, rows_before = number, len(rows)
            row = self.build(example, before := Counts())
            if row is not None and used + len(row.input_ids) > max_tokens:
                break
            _add(counts, before)
            if row is not None:
                rows.append(row)
                used += len(row.input_ids)
        return rows, counts, current + 1

    def first(self, stream: Iterable[tuple[int, Example]], *, count: int) -> list[TrainingRow]:
        """At most `count` rows of the first pass."""
        examples = (example for _, example in takewhile(lambda item: item[0] == 0, stream))
        rows = (self.build(example, Counts()) for example in examples)
        return list(islice((row for row in rows if row is not None), count))


def _add(total: Counts, one: Counts) -> None:
    total.rows += one.rows
    total.weighted += one.weighted
    total.merged += one.merged
    total.segments.update(one.segments)
    total.dropped.update(one.dropped)
    total.truncated.update(one.truncated)
