"""The text around the messages of a conversation: an optional system message, then user and assistant in turn.

A conversation of n messages has n + 1 pieces: in front of the first message, between each two, and behind the last, the answers'
terminators taken off. A conversation that a template does not show whole, in order and as it is said is never shown by halves:
what would be learned is not what the template writes when the model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from instune.records import Example, Message

Pieces = tuple[str, ...]
PiecesOf = Callable[[Sequence[Message]], Pieces]
_MARK = "\ue000"  # a private-use character: no template holds it


class Unshowable(ValueError):
    """A template has no faithful text for a conversation; the message is the reason that is counted."""


def is_conversation(example: Example) -> bool:
    """Whether the example's messages are more than one user and one assistant message."""
    return example.messages is not None and [message.role for message in example.messages] != ["user", "assistant"]


def has_several_pairs(example: Example) -> bool:
    """Whether the example's messages hold more than one user message."""
    return sum(message.role == "user" for message in example.messages or ()) > 1


def without_pair(example: Example, *, oldest: bool) -> Example:
    """The conversation without its oldest user message and answer, or without the last, then asking for the answer before."""
    if oldest:
        first = int(example.messages[0].role == "system")
        return replace(example, messages=example.messages[:first] + example.messages[first + 2 :])
    messages = example.messages[:-2]
    return replace(example, messages=messages, input=messages[-2].content, references=(messages[-1].content,))


def with_input(example: Example, text: str) -> Example:
    """The example asking about another text, in its last user message too where it has messages."""
    if example.messages is None:
        return replace(example, input=text)
    return replace(example, input=text, messages=(*example.messages[:-2], Message("user", text), example.messages[-1]))


def marked_pieces(messages: Sequence[Message], *, bos: str) -> Pieces:
    """Tulu's pieces: each message below its role's marker, a line break behind it.

    https://github.com/allenai/open-instruct, and src/finetune.py of arXiv 2405.14394, which strip the whole text; here it stays.
    """
    markers = [f"<|{message.role}|>\n" for message in messages]
    return (bos + markers[0], *("\n" + marker for marker in markers[1:]), "\n")


def chat_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str | None:
    """What the tokenizer's own template writes, None where it refuses the messages."""
    try:
        return tokenizer.apply_chat_template([vars(message) for message in messages], tokenize=False)
    except TemplateError:
        return None


def chat_pieces(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str]) -> Pieces | None:
    """The pieces with the terminators still in them, found by a mark in each message's place.

    Returns:
        None where the template refuses these roles or does not keep each message once and in order.
    """
    marks = [f"{_MARK}{number}{_MARK}" for number in range(len(roles))]
    rest = chat_text(tokenizer, [Message(role, mark) for role, mark in zip(roles, marks, strict=True)])
    if rest is None:
        return None
    pieces = []
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return None if _MARK in "".join((*pieces, rest)) else (*pieces, rest)


class ChatConversation:
    """Pieces under the tokenizer's own template, found once for each sequence of roles and held against every real text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, terminator: str) -> None:
        """Take the text that must end every answer, not the last alone."""
        self.tokenizer, self.terminator = tokenizer, terminator
        self.known: dict[tuple[str, ...], Pieces] = {}

    def __call__(self, messages: Sequence[Message]) -> Pieces:
        """The pieces around these messages.

        Raises:
            Unshowable: the template refuses the roles, leaves out, reorders or rewrites a message, or ends an earlier answer
                otherwise than the last.
        """
        roles = tuple(message.role for message in messages)
        if roles not in self.known:
            self.known[roles] = self._find(roles)
        pieces = self.known[roles]
        said = [message.content + self.terminator * (message.role == "assistant") for message in messages]
        joined = "".join(chain.from_iterable(zip_longest(pieces, said, fillvalue="")))
        if joined != chat_text(self.tokenizer, messages):
            raise Unshowable("the tokenizer's chat template rewrites the text of this conversation")
        return pieces

    def _find(self, roles: tuple[str, ...]) -> Pieces:
        pieces = chat_pieces(self.tokenizer, roles)
        if pieces is None:
            raise Unshowable("the tokenizer's chat template does not show several turns or a system message whole and in order")
        behind_answers = [piece for piece, role in zip(pieces[1:], roles, strict=True) if role == "assistant"]
        if not all(piece.startswith(self.terminator) for piece in behind_answers):
            raise Unshowable("the tokenizer's chat template ends earlier answers without a terminator")
        behind = zip(pieces[1:], roles, strict=True)
        return (pieces[0], *(piece.removeprefix(self.terminator) if role == "assistant" else piece for piece, role in behind))
