"""The tokenizer's own chat template: what it writes around messages, or why that cannot be told.

The text around messages is found once for each sequence of roles, with a mark in each message's place, and held against what the
template writes for every real conversation: where the two differ, the reason is named and nothing is guessed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain, zip_longest

from transformers import PreTrainedTokenizerBase

from instune.chat_bounds import check_work
from instune.conversations import Pieces, Unshowable
from instune.errors import InputError
from instune.pools.bounded_jinja import RefusedError
from instune.records import Message
from instune.templates import Template

_MARK = "\ue000"  # a private-use character: no template holds it
_PLAIN = (Message("user", "Which one, B or c?"), Message("assistant", "It is c."))  # nothing to strip, nothing to parse
REASONS = {
    "no_template": "is missing",
    "raises": "refuses user and assistant messages in turn",
    "refuses_system": "refuses a system message",
    "leaves_out": "leaves out a message",
    "repeats": "shows a message more than once",
    "reorders": "shows messages in another order",
    "strips": "adds or takes away blanks in this text",
    "rewrites": "rewrites this text",
    "asks_for_date": "writes the present date, so the same row has another text tomorrow",
    "no_terminator": "ends an answer without a special token",
    "blanks_before_terminator": "writes blanks between an answer and its terminator",
    "open_history": "ends earlier answers without the terminator",
    "generation_disagrees": "has generation blocks that hold other tokens than the answers with their terminators",
    "tokenized_otherwise": "is tokenized to other ids by the tokenizer's own method",
}
WAYS_OUT = {
    "asks_for_date": "Write a date in the place of strftime_now in it, or set prompt.template: plain.",
    "generation_disagrees": "Take these blocks out of it (answers are found by their text), or set prompt.template: plain.",
}


def refusal(name: str) -> Unshowable:
    """The reason of that name, as it is counted."""
    return Unshowable(f"the tokenizer's chat template {REASONS[name]}", name)


def require_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not say which characters a token stands for.

    Raises:
        InputError: a slow tokenizer.
    """
    if not tokenizer.is_fast:
        raise InputError(f"{type(tokenizer).__name__} gives no character offsets. Use a model with a fast tokenizer.")


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer's template; of several by name, the default one, which transformers takes too.

    Raises:
        Unshowable: there is none.
    """
    try:
        return tokenizer.get_chat_template()
    except ValueError:
        raise refusal("no_template") from None


def _said(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [vars(message) for message in messages]


def chat_text(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, template: str | None = None, ask: bool = False
) -> str | None:
    """What a chat template writes, the tokenizer's own where none is given; None where it refuses the messages.

    Raises:
        Unshowable: it would run for long or fill the memory.
    """
    said = _said(messages)
    try:
        check_work(template or _own_template(tokenizer), said, ask=ask, special=tokenizer.special_tokens_map)
    except RefusedError as error:
        raise Unshowable(f"the tokenizer's chat template asks for more than is allowed ({error.message})", "unbounded") from None
    try:
        return tokenizer.apply_chat_template(said, chat_template=template, tokenize=False, add_generation_prompt=ask)
    except Exception:  # a template may fail in any way: it divides by 0, or asks an empty list for its first item
        return None


def chat_pieces(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str]) -> Pieces:
    """The pieces with the terminators still in them, found by a mark in each message's place.

    Raises:
        Unshowable: the template refuses these roles, writes the date, or does not keep each message once and in order.
    """
    marks = [f"{_MARK}{number}{_MARK}" for number in range(len(roles))]
    said = [Message(role, mark) for role, mark in zip(roles, marks, strict=True)]
    text = chat_text(tokenizer, said)
    if text is None:
        others = [Message(role, "a") for role in roles if role != "system"]
        raise refusal("refuses_system" if len(others) < len(roles) and chat_text(tokenizer, others) is not None else "raises")
    undated = _own_template(tokenizer).replace("strftime_now", "raise_exception")
    if chat_text(tokenizer, said, template=undated) is None:
        raise refusal("asks_for_date")
    counts = [text.count(mark) for mark in marks]
    if min(counts) == 0:
        raise refusal("leaves_out")
    if max(counts) > 1:
        raise refusal("repeats")
    if sorted(marks, key=text.index) != marks:
        raise refusal("reorders")
    return tuple(re.split("|".join(marks), text))


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
        joined, written = "".join(self.parts(messages, pieces)), chat_text(self.tokenizer, messages) or ""
        if joined != written:
            raise refusal("strips" if "".join(joined.split()) == "".join(written.split()) else "rewrites")
        return pieces

    def parts(self, messages: Sequence[Message], pieces: Pieces) -> list[str]:
        """Piece, message, piece and so on, an answer's terminator behind it."""
        said = [message.content + self.terminator * (message.role == "assistant") for message in messages]
        return list(chain.from_iterable(zip_longest(pieces, said, fillvalue="")))[:-1]

    def _find(self, roles: tuple[str, ...]) -> Pieces:
        pieces = chat_pieces(self.tokenizer, roles)
        behind = list(zip(pieces[1:], roles, strict=True))
        if not all(piece.startswith(self.terminator) for piece, role in behind if role == "assistant"):
            raise refusal("open_history")
        return (pieces[0], *(piece.removeprefix(self.terminator) if role == "assistant" else piece for piece, role in behind))


def check_tokens(conversation: ChatConversation, messages: Sequence[Message]) -> None:
    """Hold the ids of a conversation, and its generation blocks where there are some, against the tokenizer's own method.

    A token is an answer's where its last character is the answer's or its terminator's: the rule that rows have.

    Raises:
        Unshowable: other ids, or blocks that hold other tokens than the answers with their terminators.
    """
    tokenizer, parts = conversation.tokenizer, conversation.parts(messages, conversation(messages))
    ours = tokenizer("".join(parts), add_special_tokens=False, return_offsets_mapping=True)
    blocks = re.search(r"\{%-?\s*generation\s*-?%\}", _own_template(tokenizer)) is not None
    theirs = tokenizer.apply_chat_template(_said(messages), return_dict=True, return_assistant_tokens_mask=blocks)
    if ours["input_ids"] != theirs["input_ids"]:
        raise refusal("tokenized_otherwise")
    if blocks:
        ends = list(accumulate(map(len, parts)))
        answers = {2 * number + 1 for number, message in enumerate(messages) if message.role == "assistant"}
        owned = [int(end > start and bisect_right(ends, end - 1) in answers) for start, end in ours["offset_mapping"]]
        if owned != list(theirs["assistant_masks"]):
            raise refusal("generation_disagrees")


def _terminator(tokenizer: PreTrainedTokenizerBase, tail: str) -> str:
    """The special token that the text behind an answer begins with, the longest one."""
    special = [token for token in tokenizer.all_special_tokens if tail.startswith(token)]
    if not special:
        later = any(tail.lstrip().startswith(token) for token in tokenizer.all_special_tokens)
        raise refusal("blanks_before_terminator" if later else "no_terminator")
    return max(special, key=len)


def find_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """The tokenizer's own template for one user turn and one answer; its `conversation` finds every other form.

    Raises:
        Unshowable: not even one plain pair of messages has a text that can be told.
        InputError: a tokenizer without character offsets.
    """
    require_offsets(tokenizer)
    _own_template(tokenizer)
    before, between, tail = chat_pieces(tokenizer, ("user", "assistant"))
    terminator = _terminator(tokenizer, tail)
    conversation = ChatConversation(tokenizer, terminator)
    check_tokens(conversation, _PLAIN)
    return Template("chat", before, between, terminator, tail.removeprefix(terminator), conversation=conversation)


def load_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """As `find_chat`, for who set `prompt.template: chat`.

    Raises:
        InputError: the reason and the way out.
    """
    try:
        return find_chat(tokenizer)
    except Unshowable as error:
        raise InputError(f"prompt.template: chat: {error}. {WAYS_OUT.get(error.name, 'Set prompt.template: plain.')}") from None
