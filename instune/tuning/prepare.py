"""From the selected tasks to the rows that a run trains and validates on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from instune.errors import InputError
from instune.prompts import SEGMENTS, Prompt, load_template
from instune.records import Example, Task
from instune.tuning.labels import loss_weights
from instune.tuning.mixture import round_robin, split_validation, weighted
from instune.tuning.preview import tokens_of
from instune.tuning.rows import Counts, RowBuilder, Show, TrainingRow
from instune.tuning.settings import Finetune
from instune.tuning.tokens import Token


@dataclass(frozen=True)
class Prepared:
    """Rows in training order, held-out rows, and what was counted on the way.

    Attributes:
        passes: how often the training tasks' examples were begun; above 1, examples repeat.
        sample: tokens of the first row, with the mask's own weights.
    """

    rows: list[TrainingRow]
    validation: list[TrainingRow]
    counts: Counts
    passes: int
    training_tasks: list[str]
    validation_tasks: list[str]
    sample: list[Token]


def group_by_task(task_ids: Sequence[str], examples: Iterable[Example]) -> dict[str, list[Example]]:
    """The examples of each of the tasks; those of any other task are left out."""
    groups: dict[str, list[Example]] = {task_id: [] for task_id in task_ids}
    for example in examples:
        if example.task_id in groups:
            groups[example.task_id].append(example)
    return groups


def check_request(weights: Mapping[str, float], prompt: Prompt, tokenizer: PreTrainedTokenizerBase, *, seq2seq: bool) -> None:
    """Refuse what this model cannot be trained on.

    Raises:
        InputError: loss on the prompt of a seq2seq model; rows longer than a causal model reads.
    """
    beyond = [segment for segment in SEGMENTS if segment != "output" and weights[segment] > 0]
    if seq2seq and beyond:
        raise InputError(
            f"finetune.loss_mask: weights on {', '.join(beyond)} need a causal model. An encoder-decoder model reads the "
            "prompt with its encoder and predicts none of it. Set finetune.loss_mask: it, or choose a causal base model."
        )
    # T5's tokenizers say 512, and its positions are relative; what else a seq2seq model reads its configuration says.
    if not seq2seq and prompt.max_tokens > tokenizer.model_max_length:
        raise InputError(
            f"prompt.max_tokens: {prompt.max_tokens} is not allowed. The model reads at most {tokenizer.model_max_length} tokens."
        )


def prepare(
    selected: Sequence[str],
    tasks: Mapping[str, Task],
    examples: Iterable[Example],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    params: Finetune,
    *,
    show: Show,
    task_weights: Mapping[str, float] | None,
    seq2seq: bool,
    seed: int,
) -> Prepared:
    """Split the tasks, walk their examples in turn, and build rows up to the token budget.

    Validation rows carry loss on their output only, whatever the mask, and keep their human instruction, as the targets do.

    Args:
        selected: tasks to train on; no example of any other is used.
        params: mask, turns and normalization; `max_tokens`, where None takes every example of the training tasks once, or as
            many rows drawn by weight; share and number of rows of the validation.
        show: what the training rows show for instruction and worked examples.
        task_weights: how often a task is drawn, relative to others; None: all tasks in turn.

    Raises:
        InputError: a selected task that the pool does not have, or no row at all.
    """
    check_request(params.loss_mask, prompt, tokenizer, seq2seq=seq2seq)
    training_tasks, validation_tasks = split_validation(_known(selected, tasks), share=params.validation_share, seed=seed)
    groups = group_by_task(selected, examples)
    template = load_template(prompt.template, tokenizer, seq2seq=seq2seq)
    builder = partial(RowBuilder, tasks, tokenizer, template, prompt, seed=seed)
    trained_on, max_tokens = {task_id: groups[task_id] for task_id in training_tasks}, params.max_tokens
    in_turn = task_weights is None
    stream = round_robin(trained_on, seed=seed) if in_turn else weighted(trained_on, task_weights, seed=seed)
    if max_tokens is None:
        stream, max_tokens = takewhile(lambda item: item[0] == 0, stream), sys.maxsize
    masked = partial(builder, weights=params.loss_mask, turns=params.loss_turns, show=show)
    rows, counts, passes = masked(normalize_by=params.normalize_by).fill(stream, max_tokens=max_tokens)
    if not rows:
        raise _no_rows(len(training_tasks), counts)
    first = next(one for one in trained_on[rows[0].task_id] if one.example_id == rows[0].example_id)
    sample = tokens_of(masked(normalize_by="weights").build(first, Counts()), tokenizer)
    measured = builder(weights=loss_weights("it"), normalize_by="weights")
    held_out = round_robin({task_id: groups[task_id] for task_id in validation_tasks}, seed=seed)
    validation = measured.first(held_out, count=params.validation_rows)
    return Prepared(rows, validation, counts, passes, training_tasks, validation_tasks, sample)


def _known(selected: Sequence[str], tasks: Mapping[str, Task]) -> Sequence[str]:
    for task_id in selected:
        if task_id not in tasks:
            raise InputError(f"selection: task {task_id!r} is not in the pool. Run select_tasks again.")
    return selected


def _no_rows(tasks: int, counts: Counts) -> InputError:
    reasons = ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.dropped.items()))
    return InputError(
        f"finetune: no training row from {tasks} task(s): {reasons or 'none fits the budget'}.\n"
        "  Raise finetune.max_tokens or prompt.max_tokens, or select other tasks."
    )


def summary(data: Prepared, *, weights: Mapping[str, float], kind: str) -> dict:
    """What an epoch trains on, in counts."""
    counts, segments = data.counts, data.counts.segments
    prompt = sum(segments[name] for name in ("system", "instruction", "examples", "input"))
    return {
        "instructions": kind,
        "tasks": {"training": len(data.training_tasks), "validation": len(data.validation_tasks)},
        "rows": {"training": len(data.rows), "validation": len(data.validation), "passes": data.passes},
        "tokens": {"all": counts.tokens, "with_loss": counts.weighted} | {name: segments[name] for name in SEGMENTS},
        "share_with_loss": counts.weighted / counts.tokens,
        "loss_weights": dict(weights),
        "instruction_output_ratio": prompt / segments["output"],
        "dropped": dict(counts.dropped),
        "truncated": dict(counts.truncated),
        "merged_at_output": counts.merged,
        "sample": {
            "task_id": data.rows[0].task_id,
            "example_id": data.rows[0].example_id,
            "tokens": [[token.text, token.segment, token.weight] for token in data.sample],
        },
    }


def spoken(facts: Mapping[str, Any]) -> str:
    """The counts of `summary`, for the log."""

    def listed(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{count:,} x {reason}" for reason, count in sorted(counts.items())) or "none"

    rows, tokens = facts["rows"], facts["tokens"]
    repeats = f"; the budget takes {rows['passes']} passes over the selected tasks' examples: they repeat"
    return (
        f"rows: {rows['training']:,} to train on, {rows['validation']:,} to validate on{repeats if rows['passes'] > 1 else ''}\n"
        f"tokens: {', '.join(f'{name} {tokens[name]:,}' for name in SEGMENTS if tokens[name])}\n"
        f"with loss: {tokens['with_loss']:,} of {tokens['all']:,} ({facts['share_with_loss']:.1%}); "
        f"instruction to output {facts['instruction_output_ratio']:.2f}\n"
        f"dropped: {listed(facts['dropped'])}; cut: {listed(facts['truncated'])}"
    )


def outcome(history: Sequence[Mapping[str, float]]) -> dict:
    """Steps, training loss over the last tenth of them, and validation NLL per output token before and after."""
    steps = [entry for entry in history if "train/loss" in entry]
    last = steps[-max(1, len(steps) // 10) :]
    result = {"steps": len(steps), "train_loss": sum(entry["train/loss"] for entry in last) / len(last)}
    measured = [entry["validation/nll"] for entry in history if "validation/nll" in entry]
    return result | ({"validation_nll": {"before": measured[0], "after": measured[-1]}} if measured else {})
