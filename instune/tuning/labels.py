"""Spans to token ids, owners, labels and loss weights.

A row's text is tokenized once; a token belongs to the span that owns its last character, so one that straddles two spans belongs
to the later. -100 is defined here and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from instune.errors import InputError
from instune.prompts import SEGMENTS, Span, Template, render
from instune.records import Example, Exemplar, Task

IGNORE_INDEX = -100
_SOFT = "\ue000"  # keeps the place of a soft instruction while a row is rendered; never tokenized
NAMED_MASKS: dict[str, dict[str, float]] = {
    "it": {"output": 1.0},
    "im": {segment: 1.0 for segment in SEGMENTS if segment != "template"},  # Eq. 4 of arXiv 2405.14394
    "all": dict.fromkeys(SEGMENTS, 1.0),
}


@dataclass(frozen=True)
class Row:
    """One tokenized example.

    Attributes:
        input_ids: (T,) token ids; a soft instruction's places hold 0 and are to be replaced by its embeddings.
        segments: (T,) index into `SEGMENTS` of each token's owner.
        soft: first position and length of the soft instruction, length 0 where there is none.
        task_id: the example's task.
        truncated: names of the segments that were cut to fit.
        source: how many of the ids a seq2seq model's encoder reads, the rest being its target; 0 for a causal model.
        merged: the tokenizer merges across the border of prompt and output, so the generation prompt's ids are no prefix.
    """

    input_ids: list[int]
    segments: list[int]
    task_id: str
    soft: tuple[int, int] = (0, 0)
    truncated: tuple[str, ...] = ()
    example_id: str = field(default="")
    source: int = 0
    merged: bool = False


@dataclass(frozen=True)
class Dropped:
    """Why an example became no row."""

    reason: str


def loss_weights(loss_mask: str | Mapping[str, float]) -> dict[str, float]:
    """The weight of every segment, by mask name or explicit mapping.

    Raises:
        InputError: unknown name or segment, a segment without weight, a negative weight, or no positive weight at all.
    """
    if isinstance(loss_mask, str):
        if loss_mask not in NAMED_MASKS:
            raise InputError(f"loss_mask: {loss_mask!r} is not allowed. Use {', '.join(NAMED_MASKS)}, or a weight per segment.")
        loss_mask = {segment: NAMED_MASKS[loss_mask].get(segment, 0.0) for segment in SEGMENTS}
    if set(loss_mask) != set(SEGMENTS):
        raise InputError(f"loss_mask: segments {sorted(loss_mask)} are not allowed. Give each of {', '.join(SEGMENTS)} a weight.")
    if min(loss_mask.values()) < 0 or max(loss_mask.values()) <= 0:
        raise InputError(f"loss_mask: {dict(loss_mask)} is not allowed. Weights are >= 0 and at least one is positive.")
    return {segment: float(loss_mask[segment]) for segment in SEGMENTS}


def encode(spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids (T,) and owning segments (T,) of the joined text, tokenized once and without special tokens of its own.

    Raises:
        InputError: the tokenizer gives no character offsets (a slow tokenizer).
    """
    if not tokenizer.is_fast:
        raise InputError(f"{type(tokenizer).__name__} gives no character offsets. Use a model with a fast tokenizer.")
    ends = list(accumulate(len(span.text) for span in spans))
    encoding = tokenizer("".join(span.text for span in spans), add_special_tokens=False, return_offsets_mapping=True)
    owners = []
    for start, end in encoding["offset_mapping"]:
        segment = "template" if end <= start else spans[bisect_right(ends, end - 1)].segment
        owners.append(SEGMENTS.index(segment))
    return list(encoding["input_ids"]), owners


def cut_text(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str:
    """The longest prefix of the text that ends at a token border and has at most `max_tokens` tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) <= max_tokens:
        return text
    while max_tokens > 0 and offsets[max_tokens][0] < offsets[max_tokens - 1][1]:  # one character, several byte-level tokens
        max_tokens -= 1
    return text[: offsets[max_tokens - 1][1]] if max_tokens > 0 else ""


def _tokenize(
    spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase, prompt: Template, soft_tokens: int
) -> tuple[list[int], list[int], tuple[int, int], int]:
    """Ids, owners, the soft instruction's place and the source's length.

    Text is cut into parts, each tokenized once, only where no token can span: around a soft instruction, which stands in the
    place of the instruction's span, and between source and target of a seq2seq model.
    """
    ids, owners, soft = [], [], (0, 0)
    if soft_tokens:
        place = next(number for number, span in enumerate(spans) if span.segment == "instruction")
        ids, owners = encode(spans[:place], tokenizer)
        soft, spans = (len(ids), soft_tokens), spans[place + 1 :]
        ids, owners = ids + [0] * soft_tokens, owners + [SEGMENTS.index("instruction")] * soft_tokens
    causal = prompt.source_end is None
    parts = [spans] if causal else [[span for span in spans if span.turn == turn] for turn in (0, 1)]
    source = 0
    for part in parts:
        part_ids, part_owners = encode(part, tokenizer)
        ids, owners = ids + part_ids, owners + part_owners
        source = source or (0 if causal else len(ids))
    return ids, owners, soft, source


def build_row(
    task: Task,
    example: Example,
    *,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Template,
    wording: str,
    exemplars: Sequence[Exemplar] = (),
    output: str | None,
    max_tokens: int,
    max_instruction_tokens: int,
    max_input_tokens: int,
    soft_tokens: int = 0,
) -> Row | Dropped:
    """Render, cut and tokenize one example.

    Instruction and input are cut to their own limits first; then exemplars are removed from the last, then the input is cut,
    until the row has at most `max_tokens`. With `soft_tokens` the wording is replaced by that many places for embeddings.

    Args:
        output: the text to learn, or None for a generation prompt (`max_tokens` is then the room for the prompt).

    Returns:
        the row, or `Dropped` when it does not fit even with an empty input, or is a conversation that one turn cannot show.
    """
    if example.messages is not None and [message.role for message in example.messages] != ["user", "assistant"]:
        return Dropped("conversation of several turns or with a system prompt")
    cut = []
    short_wording = _SOFT if soft_tokens else cut_text(wording, tokenizer, max_instruction_tokens)
    if not soft_tokens and short_wording != wording:
        cut.append("instruction")
    short_input = cut_text(example.input, tokenizer, max_input_tokens)
    kept = list(exemplars)
    while True:
        shown = replace(example, input=short_input)
        spans = render(task, shown, prompt=prompt, wording=short_wording, exemplars=kept, output=output)
        ids, owners, soft, source = _tokenize(spans, tokenizer, prompt, soft_tokens)
        overflow = len(ids) - max_tokens
        if overflow <= 0:
            break
        if kept:
            kept.pop()
        elif short_input:
            length = len(tokenizer(short_input, add_special_tokens=False)["input_ids"])
            shorter = cut_text(short_input, tokenizer, max(0, length - overflow))
            short_input = shorter if len(shorter) < len(short_input) else short_input[:-1]  # each round removes something
        else:
            return Dropped("row longer than max_tokens with an empty input")
    if len(kept) < len(exemplars):
        cut.append("examples")
    if short_input != example.input:
        cut.append("input")
    before, _, _, _ = _tokenize([span for span in spans if span.turn == 0], tokenizer, prompt, soft_tokens)
    return Row(ids, owners, task.task_id, soft, tuple(cut), example.example_id, source, ids[: len(before)] != before)


def labels_and_weights(row: Row, weights: Mapping[str, float]) -> tuple[list[int], list[float]]:
    """Labels (T,) and loss weights (T,): weight 0 and masked are the same thing.

    A soft instruction carries no label, and neither does what no position predicts: a causal row's first token, a seq2seq source.
    """
    by_index = [weights[segment] for segment in SEGMENTS]
    values = [by_index[owner] for owner in row.segments]
    start, length = row.soft
    values[start : start + length] = [0.0] * length
    unpredicted = row.source or 1
    values[:unpredicted] = [0.0] * min(unpredicted, len(values))
    labels = [token if value > 0 else IGNORE_INDEX for token, value in zip(row.input_ids, values, strict=True)]
    return labels, values
