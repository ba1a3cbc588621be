"""Examples to rows of token ids, cut to fit, with labels and loss weights. -100 is defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from transformers import PreTrainedTokenizerBase

from instune.config import Section
from instune.conversations import Unshowable, has_several_pairs, is_conversation, with_input
from instune.errors import InputError
from instune.prompts import SEGMENTS, Position
from instune.records import Example, Exemplar, Task
from instune.released import Windows, found
from instune.templates import Template
from instune.tuning.encoding import cut_text, is_merged
from instune.tuning.fitting import encode_example, fit_input, fit_turns

IGNORE_INDEX = -100
_SOFT = "\ue000"  # keeps the place of a soft instruction while a row is rendered; never tokenized
NAMED_MASKS: dict[str, dict[str, float]] = {
    "it": {"output": 1.0},
    "im": {segment: 1.0 for segment in SEGMENTS if segment != "template"},  # Eq. 4 of arXiv 2405.14394
    "all": dict.fromkeys(SEGMENTS, 1.0),
    "released_im": dict.fromkeys(SEGMENTS, 1.0),  # and 0 where the published script finds a marker: instune/released.py
}
FOUND_MARKER = "found_marker"  # stands beside the segments in the weights of released_im
_ASKED = tuple(map(SEGMENTS.index, ("instruction", "examples", "input")))  # what a user message holds
_OUTPUT = SEGMENTS.index("output")


class LossTurns(Section):
    """Which messages of a conversation carry the loss that `loss_mask` gives them; the rest of its row is read only.

    `{assistant: last, user: last}` is LLaMA-Factory's mask_history; `{assistant: last, user: all}` under `it` is torchtune's
    train_on_last. Of a row that was cut it is the last of the turns that are left.
    """

    assistant: Literal["all", "last"]  # answers, with their terminators
    user: Literal["all", "last"]  # user messages, where loss_mask gives them any; a system message stays


EVERY_TURN = LossTurns(assistant="all", user="all")


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
        turns: (T,) turn of each token's owner, the messages of a conversation counted from 0.
        released: what `released_im` looks for; None: it is not defined on this row's template.
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
    turns: list[int] = field(default_factory=list)
    released: Windows | None = None


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
        named = {segment: NAMED_MASKS[loss_mask].get(segment, 0.0) for segment in SEGMENTS}
        return named | ({FOUND_MARKER: 0.0} if loss_mask == "released_im" else {})
    if set(loss_mask) != set(SEGMENTS):
        raise InputError(f"loss_mask: segments {sorted(loss_mask)} are not allowed. Give each of {', '.join(SEGMENTS)} a weight.")
    if min(loss_mask.values()) < 0 or max(loss_mask.values()) <= 0:
        raise InputError(f"loss_mask: {dict(loss_mask)} is not allowed. Weights are >= 0 and at least one is positive.")
    return {segment: float(loss_mask[segment]) for segment in SEGMENTS}


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
    encode = partial(encode_example, task, **given)
    short_wording = _SOFT if soft_tokens else cut_text(wording, tokenizer, max_instruction_tokens)
    try:
        kept, output = fit_turns(encode, example, output, max_tokens)
        short = kept if has_several_pairs(kept) else with_input(kept, cut_text(kept.input, tokenizer, max_input_tokens))
        fitted = fit_input(partial(encode, wording=short_wording, output=output), short, exemplars, tokenizer, max_tokens)
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
        encoded.turns,
        prompt.released,
    )


def chosen_turns(row: Row, turns: LossTurns) -> list[bool]:
    """(T,) which tokens are of no message, or of one that carries loss."""
    if turns == EVERY_TURN:
        return [True] * len(row.segments)
    owned = list(zip(row.segments, row.turns, strict=True))
    answer = max(turn for owner, turn in owned if owner == _OUTPUT)  # the message in front of it asks
    first = {_OUTPUT: answer if turns.assistant == "last" else 0}
    first |= dict.fromkeys(_ASKED, answer - 1 if turns.user == "last" else 0)
    return [turn >= first.get(owner, 0) for owner, turn in owned]


def check_released(weights: Mapping[str, float], released: Windows | None) -> None:
    """Refuse the mask `released_im` on another template than the published script's.

    Raises:
        InputError: as said.
    """
    if FOUND_MARKER in weights and released is None:
        raise InputError(
            "finetune.loss_mask: released_im is what the published script masks in the text of template tulu. "
            "Set prompt.template: tulu and a causal base model, or another finetune.loss_mask."
        )


def labels_and_weights(row: Row, weights: Mapping[str, float], turns: LossTurns = EVERY_TURN) -> tuple[list[int], list[float]]:
    """Labels (T,) and loss weights (T,): weight 0 and masked are the same thing.

    A soft instruction carries no label, and neither does what no position predicts: a causal row's first token, a seq2seq source.

    Raises:
        InputError: `released_im` on another template than the script's.
    """
    check_released(weights, row.released)
    by_index = [weights[segment] for segment in SEGMENTS]
    chosen = chosen_turns(row, turns)
    values = [by_index[owner] if is_chosen else 0.0 for owner, is_chosen in zip(row.segments, chosen, strict=True)]
    if FOUND_MARKER in weights:
        for place in found(row.input_ids, row.released):
            values[place] = weights[FOUND_MARKER]
        behind = len(values) - row.segments[::-1].index(_OUTPUT)  # the script strips the line break behind a row's last answer
        values[behind:] = [0.0] * (len(values) - behind)
    start, length = row.soft
    values[start : start + length] = [0.0] * length
    unpredicted = row.source or 1
    values[:unpredicted] = [0.0] * min(unpredicted, len(values))
    labels = [token if value > 0 else IGNORE_INDEX for token, value in zip(row.input_ids, values, strict=True)]
    return labels, values
