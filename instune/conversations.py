"""The text around the messages of a conversation: an optional system message, then user and assistant in turn.

A conversation of n messages has n + 1 pieces: in front of the first message, between each two, and behind the last, the answers'
terminators taken off. A conversation that a template does not show whole, in order and as it is said is never shown by halves:
what would be learned is not what the template writes when the model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from instune.records import Example, Message

Pieces = tuple[str, ...]
PiecesOf = Callable[[Sequence[Message]], Pieces]


class Unshowable(ValueError):
    """A template has no faithful text for a conversation; the message is the reason that is counted, `name` its short form."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


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
