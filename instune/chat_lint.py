"""Chat templates examined: for which conversations every token's owner is decided, and by what reason the others are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from instune.chat import ChatConversation, chat_text, check_tokens, find_chat
from instune.conversations import Unshowable
from instune.records import Message

DECIDED = "decided"
_PLAIN = ("Which one, B or c?", "It is c.")
SHAPES = {"pair": "ua", "system": "sua", "turns": "uauaua", "system and turns": "suaua"}
VARIANTS = {  # texts that some templates do not leave as they are: (user, answer) of every turn
    "blank ends": (" Which one? \n", "\n It is c. "),
    "empty text": ("", ""),
    "reasoning": ("Which one?", "<think>\nB is wrong.\n</think>\n\nIt is c."),
}


@dataclass(frozen=True)
class Verdict:
    """What was found of one chat template.

    Attributes:
        shapes: conversation shape -> `decided`, or the reason's name as in `instune.chat.REASONS`.
        dropped: kind of text -> the reason for which its rows are dropped, in the longest shape that is decided.
        notes: what a user may want to know; no reason to refuse.
    """

    shapes: Mapping[str, str]
    dropped: Mapping[str, str]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def messages_of(shape: str, user: str = _PLAIN[0], answer: str = _PLAIN[1]) -> tuple[Message, ...]:
    """A conversation of the roles' initials, the same texts in every turn."""
    said = {"s": Message("system", "Be brief."), "u": Message("user", user), "a": Message("assistant", answer)}
    return tuple(said[initial] for initial in shape)


def _reason(conversation: ChatConversation, messages: Sequence[Message]) -> str:
    try:
        check_tokens(conversation, messages)
    except Unshowable as error:
        return error.name
    return DECIDED


def _notes(conversation: ChatConversation, shapes: Mapping[str, str]) -> list[str]:
    """A system turn of its own, a system message inside the user's, a different generation prompt, roles that must alternate."""
    tokenizer, notes = conversation.tokenizer, []
    pair = messages_of("ua")
    before, between, _ = conversation(pair)
    if shapes["system"] == DECIDED:
        opening, behind, *_ = conversation(messages_of("sua"))
        header = _common_end(behind, before)  # of the user's turn
        if not header.strip():
            notes.append("puts the system message into the user's turn")
        elif before.startswith(opening) and (
            opening.removeprefix(tokenizer.bos_token or "") or before[len(opening) : len(before) - len(header)].strip()
        ):
            notes.append("writes a system turn of its own where there is no system message")
    asked = chat_text(tokenizer, pair[:1], ask=True)
    if asked != before + pair[0].content + between:
        notes.append("asks for an answer with another text than answers are learned behind")
    if chat_text(tokenizer, messages_of("uua")) is None:
        notes.append("wants user and assistant in turn")
    return notes


def _common_end(one: str, other: str) -> str:
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    length = sum(1 for _ in alike)
    return one[len(one) - length :]


def lint(tokenizer: PreTrainedTokenizerBase) -> Verdict:
    """Examine the tokenizer's chat template.

    A shape is decided where each message is found once, in order and as it was said, every answer ends with the same special
    token, ids and generation blocks agree with the tokenizer's own method; then every token is a message's or the template's.
    """
    try:
        conversation = find_chat(tokenizer).conversation
    except Unshowable as error:
        return Verdict(dict.fromkeys(SHAPES, error.name), {}, [])
    shapes = {name: _reason(conversation, messages_of(shape)) for name, shape in SHAPES.items()}
    longest = SHAPES["turns" if shapes["turns"] == DECIDED else "pair"]
    kinds = {kind: _reason(conversation, messages_of(longest, *texts)) for kind, texts in VARIANTS.items()}
    dropped = {kind: reason for kind, reason in kinds.items() if reason != DECIDED}
    return Verdict(shapes, dropped, _notes(conversation, shapes))
