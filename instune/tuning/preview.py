"""A training row as tokens that one can look at."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from instune.prompts import SEGMENTS
from instune.tuning.rows import TrainingRow
from instune.tuning.tokens import Token

SOFT = "\u25c6"


def tokens_of(row: TrainingRow, tokenizer: PreTrainedTokenizerBase) -> list[Token]:
    """The row's tokens with the weights that its loss has, a row's scale included.

    Part of a character shows as a replacement character, a soft instruction's places as a diamond.
    """
    places = range(row.soft[0], sum(row.soft))
    return [
        Token(SOFT if number in places else tokenizer.decode([token]), SEGMENTS[owner], weight)
        for number, (token, owner, weight) in enumerate(zip(row.input_ids, row.segments, row.loss_weights, strict=True))
    ]
