"""Spans to token ids and their owners.

A row's text is tokenized once; a token belongs to the span that owns its last character, so one that straddles two spans belongs
to the later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from instune.errors import InputError
from instune.prompts import SEGMENTS, Span
from instune.templates import Template


def encode(spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int], list[int]]:
    """Token ids, owning segments and turns (T,) of the joined text, tokenized once and without special tokens of its own.

    Raises:
        InputError: the tokenizer gives no character offsets (a slow tokenizer).
    """
    if not tokenizer.is_fast:
        raise InputError(f"{type(tokenizer).__name__} gives no character offsets. Use a model with a fast tokenizer.")
    ends = list(accumulate(len(span.text) for span in spans))
    encoding = tokenizer("".join(span.text for span in spans), add_special_tokens=False, return_offsets_mapping=True)
    nothing = Span("template", "")  # owns what has no width
    owned = [nothing if end <= start else spans[bisect_right(ends, end - 1)] for start, end in encoding["offset_mapping"]]
    return list(encoding["input_ids"]), [SEGMENTS.index(span.segment) for span in owned], [span.turn for span in owned]


def cut_text(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str:
    """The longest prefix of the text that ends at a token border and has at most `max_tokens` tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) <= max_tokens:
        return text
    while max_tokens > 0 and offsets[max_tokens][0] < offsets[max_tokens - 1][1]:  # one character, several byte-level tokens
        max_tokens -= 1
    return text[: offsets[max_tokens - 1][1]] if max_tokens > 0 else ""


@dataclass(frozen=True)
class Encoded:
    """A rendered example with its token ids.

    Attributes:
        ids: (T,) token ids, 0 at the places of a soft instruction.
        owners: (T,) index into `SEGMENTS` of each token's owner.
        turns: (T,) turn of each token's owner.
        soft: first position and length of the soft instruction, length 0 where there is none.
        source: how many of the ids a seq2seq model's encoder reads; 0 for a causal model.
    """

    spans: list[Span]
    ids: list[int]
    owners: list[int]
    turns: list[int]
    soft: tuple[int, int]
    source: int


def encode_parts(
    spans: Sequence[Span], tokenizer: PreTrainedTokenizerBase, prompt: Template, answer: int, soft_tokens: int
) -> Encoded:
    """The spans with their ids, with `soft_tokens` places instead of the instruction where that is positive.

    Text is cut into parts, each tokenized once, only where no token can span: around a soft instruction, which stands in the
    place of the instruction's span, and between source and target of a seq2seq model: the turns before `answer`, and that turn.
    """
    rest, ids, owners, turns, soft = list(spans), [], [], [], (0, 0)
    if soft_tokens:
        place = next(number for number, span in enumerate(spans) if span.segment == "instruction")
        ids, owners, turns = encode(spans[:place], tokenizer)
        soft, rest = (len(ids), soft_tokens), rest[place + 1 :]
        ids, owners = ids + [0] * soft_tokens, owners + [SEGMENTS.index("instruction")] * soft_tokens
        turns = turns + [spans[place].turn] * soft_tokens
    causal = prompt.source_end is None
    parts = [rest] if causal else [[span for span in rest if (span.turn == answer) is target] for target in (False, True)]
    source = 0
    for part in parts:
        part_ids, part_owners, part_turns = encode(part, tokenizer)
        ids, owners, turns = ids + part_ids, owners + part_owners, turns + part_turns
        source = source or (0 if causal else len(ids))
    return Encoded(list(spans), ids, owners, turns, soft, source)


def is_merged(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, prompt: Template, soft_tokens: int) -> bool:
    """Whether the ids in front of an output are others where the text ends there; a seq2seq target is tokenized by itself."""
    answers = {span.turn for span in encoded.spans if span.segment == "output"} if prompt.source_end is None else set()
    prompts = ([span for span in encoded.spans if span.turn < answer] for answer in answers)
    before = (encode_parts(spans, tokenizer, prompt, 0, soft_tokens).ids for spans in prompts)
    return any(encoded.ids[: len(ids)] != ids for ids in before)
