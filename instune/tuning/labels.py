"""Examples to rows of token ids, cut to fit, with labels and loss weights. -100 is defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from transformers import PreTrainedTokenizerBase

from instune.conversations import Unshowable, has_several_pairs, is_conversation, with_input, without_pair
from instune.errors import InputError
from instune.prompts import SEGMENTS, Position, render
from instune.records import Example, Exemplar, Task
from instune.templates import Template
from instune.tuning.encoding import Encoded, cut_text, encode_parts, is_merged

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
        truncated: names of the segments that were cut to fit; `turns` where user messages and their answers were left out.
        source: how many of the ids a seq2seq model's encoder reads, the rest being its target; 0 for a causal model.
        merged: the tokenizer merges across the border in front of an output, so the generation prompt's ids are no prefix.
        text: what was tokenized; a private-use character keeps a soft instruction's place.
    """

    input_ids: list[int]
    segments: list[int]
    task_id: str
    soft: tuple[int, int] = (0, 0)
    truncated: tuple[str, ...] = ()
    example_id: str = field(default="")
    source: int = 0
    merged: bool = False
    text: str = ""


@dataclass(frozen=True)
class Dropped:
    """Why an example became no row."""

    reason: str


TOO_LONG = Dropped("row longer than max_tokens with an empty input")


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


def _encode(
    task: Task,
    example: Example,
    *,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Template,
    wording: str = "",
    exemplars: Sequence[Exemplar] = (),
    output: str | None,
    soft_tokens: int,
    instruction_position: Position,
) -> Encoded:
    spans = render(
        task,
        example,
        prompt=prompt,
        wording=wording,
        exemplars=exemplars,
        output=output,
        instruction_position=instruction_position,
    )
    answer = len(example.messages) - 1 if is_conversation(example) else 1
    return encode_parts(spans, tokenizer, prompt, answer, soft_tokens)


def _fit_turns(
    encode: Callable[..., Encoded], example: Example, output: str | None, max_tokens: int
) -> tuple[Example, str | None]:
    """The conversation that fits, or one pair that may not, and its output.

    Rows to learn lose their last pairs, so that every learned answer sees its whole history; prompts lose the oldest, so that
    what is asked stays.
    """
    while has_several_pairs(example) and len(encode(example, output=output).ids) > max_tokens:
        example = without_pair(example, oldest=output is None)
        output = None if output is None else example.references[0]
    return example, output


def _fit_input(
    encode: Callable[..., Encoded],
    example: Example,
    exemplars: Sequence[Exemplar],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
) -> tuple[Encoded, str, int] | None:
    """The draft that fits, its input and how many exemplars it kept; None where even an empty input is too long."""
    text, kept = example.input, list(exemplars)
    while True:
        encoded = encode(with_input(example, text), exemplars=kept)
        overflow = len(encoded.ids) - max_tokens
        if overflow <= 0:
            return encoded, text, len(kept)
        if kept:
            kept.pop()
        elif text:
            length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
            shorter = cut_text(text, tokenizer, max(0, length - overflow))
            text = shorter if len(shorter) < len(text) else text[:-1]  # each round removes something
        else:
            return None


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
    instruction_position: Position = "before",
) -> Row | Dropped:
    """Render, cut and tokenize one example.

    A conversation of several turns loses whole user messages with their answers until the row has at most `max_tokens`: the last
    ones, or the oldest of a generation prompt. With one turn, instruction and input are cut to their own limits first; then
    exemplars are removed from the last, then the input is cut. With `soft_tokens` the wording is replaced by that many places for
    embeddings.

    Args:
        output: the text to learn, or None for a generation prompt (`max_tokens` is then the room for the prompt).
        instruction_position: as `render` takes it; a soft instruction stands there too.

    Returns:
        the row, or `Dropped` when it does not fit even with an empty input, or is a conversation that the template cannot show.
    """
    if is_conversation(example):
        if soft_tokens:
            return Dropped("conversation of several turns or with a system prompt")
        wording, exemplars = "", ()
    given = {"tokenizer": tokenizer, "prompt": prompt, "soft_tokens": soft_tokens, "instruction_position": instruction_position}
    encode = partial(_encode, task, **given)
    short_wording = _SOFT if soft_tokens else cut_text(wording, tokenizer, max_instruction_tokens)
    try:
        kept, output = _fit_turns(encode, example, output, max_tokens)
        short = kept if has_several_pairs(kept) else with_input(kept, cut_text(kept.input, tokenizer, max_input_tokens))
        fitted = _fit_input(partial(encode, wording=short_wording, output=output), short, exemplars, tokenizer, max_tokens)
    except Unshowable as error:
        return Dropped(str(error))
    if fitted is None:
        return TOO_LONG
    encoded, text, shown = fitted
    cuts = {
        "instruction": not soft_tokens and short_wording != wording,
        "turns": kept is not example,
        "examples": shown < len(exemplars),
        "input": text != kept.input,
    }
    return Row(
        encoded.ids,
        encoded.owners,
        task.task_id,
        encoded.soft,
        tuple(name for name, was_cut in cuts.items() if was_cut),
        example.example_id,
        encoded.source,
        is_merged(encoded, tokenizer, prompt, soft_tokens),
        "".join(span.text for span in encoded.spans),
    )


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
