"""Render an example to spans of text, the one path for training and evaluation.

A row is a list of `Span`s whose texts, joined, are exactly what the tokenizer reads. Segments are `template, system, instruction,
examples, input, output`. The terminator that the template emits belongs to `output`: it is learned, and generation stops at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from transformers import PreTrainedTokenizerBase

from instune.config import Section
from instune.conversations import ChatConversation, Unshowable, chat_pieces, chat_text, is_conversation, marked_pieces
from instune.errors import InputError
from instune.records import Example, Exemplar, Message, Task
from instune.released import marker_windows
from instune.templates import TEXT_TEMPLATES, Template

SEGMENTS = ("template", "system", "instruction", "examples", "input", "output")
Position = Literal["before", "after"]  # of the instruction, to the input
TemplateName = Literal["chat", "plain", "bare", "alpaca", "tk_instruct", "tulu"]
MESSAGE_SEGMENTS = {"system": "system", "user": "input", "assistant": "output"}  # role -> what owns its text


class Prompt(Section):
    """How an example becomes text; shared by optimize_instructions, finetune and evaluate."""

    template: TemplateName  # chat: the tokenizer's own; plain: ends with "Output:"; bare: the text alone; the others as published
    instruction_position: Position  # after: worked examples, input, instruction (arXiv 2308.12097, for long inputs)
    wording: Literal["definition", "any"]  # any: a wording drawn per example by its id and the seed
    exemplars: NonNegativeInt  # positive examples of the task in the prompt
    max_instruction_tokens: PositiveInt  # longer instructions are cut at their end, and counted
    max_input_tokens: PositiveInt  # longer inputs are cut at their end, and counted
    max_tokens: PositiveInt  # a whole row, output and terminator included


@dataclass(frozen=True)
class Span:
    """A run of text and the segment that owns it; `turn` counts the messages from 0, text behind one being of its turn."""

    segment: str
    text: str
    turn: int = 0


def _bos(tokenizer: PreTrainedTokenizerBase) -> str:
    """The BOS text where the tokenizer adds one by itself, else nothing: rows are tokenized without special tokens."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token if ids and ids[0] == tokenizer.bos_token_id and tokenizer.bos_token else ""


def _chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    if not tokenizer.chat_template:
        raise InputError(
            "prompt.template: chat, but the base model's tokenizer has no chat template. Set prompt.template: plain."
        )
    pieces = chat_pieces(tokenizer, ("user", "assistant"))
    if pieces is None:
        raise InputError("prompt.template: chat: the tokenizer's template does not keep user and assistant text in order.")
    before, between, tail = pieces
    probe = (Message("user", " a \n"), Message("assistant", " b \n"))
    if chat_text(tokenizer, probe) != f"{before}{probe[0].content}{between}{probe[1].content}{tail}":
        raise InputError("prompt.template: chat: the tokenizer's template rewrites message text. Set prompt.template: plain.")
    special = [token for token in tokenizer.all_special_tokens if tail.startswith(token)]
    if not special:
        raise InputError("prompt.template: chat: the tokenizer's template ends an answer without a special token.")
    terminator = max(special, key=len)
    turns = ChatConversation(tokenizer, terminator)
    return Template("chat", before, between, terminator, tail[len(terminator) :], conversation=turns)


def _source_end(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of the token that the tokenizer itself ends a source with, where it does."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.eos_token if ids[-1] == tokenizer.eos_token_id else ""


def load_template(name: TemplateName, tokenizer: PreTrainedTokenizerBase, *, seq2seq: bool = False) -> Template:
    """The template of that name, bound to the tokenizer's special tokens.

    Args:
        seq2seq: the model reads instruction and input with its encoder and writes the output with its decoder.

    Raises:
        InputError: `chat` for a seq2seq model, without a chat template, or with one that rewrites text or has no terminator.
    """
    if name == "chat" and seq2seq:
        raise InputError("prompt.template: chat has no form for an encoder-decoder model. Set prompt.template: plain.")
    if name == "chat":
        return _chat(tokenizer)
    if tokenizer.eos_token is None:
        raise InputError(f"prompt.template: {name} needs a tokenizer with an eos token, and this one has none.")
    text, bos = TEXT_TEMPLATES[name], _bos(tokenizer)
    return replace(
        text,
        before=bos + text.before,
        before_bare=None if text.before_bare is None else bos + text.before_bare,
        terminator=tokenizer.eos_token,
        source_end=_source_end(tokenizer) if seq2seq else None,
        conversation=partial(marked_pieces, bos=bos) if name == "tulu" else None,
        released=marker_windows(tokenizer, bos) if name == "tulu" and not seq2seq else None,
    )


def _exemplar_text(exemplars: Sequence[Exemplar], layout: str) -> str:
    return "\n\n".join(
        layout.format(number=number, input=exemplar.input, output=exemplar.output) for number, exemplar in enumerate(exemplars, 1)
    )


def _conversation(messages: Sequence[Message], prompt: Template, output: str | None) -> list[Span]:
    if prompt.conversation is None:
        raise Unshowable(f"template {prompt.name} has no form for several turns or a system message")
    if output is not None:
        messages = (*messages[:-1], Message("assistant", output))
    pieces = prompt.conversation(messages)
    spans = [Span("template", pieces[0])]
    for turn, (message, behind) in enumerate(zip(messages, pieces[1:], strict=True)):
        terminator = prompt.terminator if message.role == "assistant" else ""
        spans += [Span(MESSAGE_SEGMENTS[message.role], message.content + terminator, turn), Span("template", behind, turn)]
    question = [*spans[:-2], Span("template", prompt.source_end or "", len(messages) - 2)]
    return [span for span in question + (spans[-2:] if output is not None else []) if span.text]


def render(
    task: Task,
    example: Example,
    *,
    prompt: Template,
    wording: str,
    exemplars: Sequence[Exemplar] = (),
    output: str | None,
    instruction_position: Position = "before",
) -> list[Span]:
    """Spans of one row; empty segments leave no span and no separator behind.

    A conversation (several turns, or a system message) is shown message by message, without wording and exemplars; its last
    answer is the one to learn or to ask for, the answers before it are segment `output` too.

    Args:
        task: the example's task.
        example: the instance whose input is asked about.
        prompt: the text around the segments.
        wording: the instruction's text.
        exemplars: worked examples between instruction and input.
        output: the text to learn, or None for a generation prompt, which is then a prefix of the training text.
        instruction_position: where the instruction stands, to the input; worked examples are in front of both or between them.

    Returns:
        spans whose last turn is the answer (a seq2seq model's target), turn 1 or a conversation's last message; every turn
        before it is the prompt (the source).

    Raises:
        InputError: the example belongs to another task.
        Unshowable: the template has no faithful text for this conversation.
    """
    if example.task_id != task.task_id:
        raise InputError(f"example {example.example_id} belongs to task {example.task_id}, not to {task.task_id}")
    if is_conversation(example):
        return _conversation(example.messages, prompt, output)
    contents = [("instruction", wording), ("examples", _exemplar_text(exemplars, prompt.exemplar)), ("input", example.input)]
    if instruction_position == "after":
        contents = [*contents[1:], contents[0]]
    bare = prompt.before_bare is not None and not (wording and example.input)
    heads = {**prompt.heads, "input": prompt.heads.get("instruction", "")} if bare else prompt.heads  # a text that asks by itself
    spans = [Span("template", prompt.before_bare if bare else prompt.before)]
    for position, (segment, text) in enumerate((segment, text) for segment, text in contents if text):
        separator = "\n\n" if position else ""
        spans += [Span("template", separator + heads.get(segment, "")), Span(segment, text)]
    spans += [Span("template", prompt.between), Span("template", prompt.source_end or "")]
    if output is not None:
        spans += [Span("output", output + prompt.terminator, 1), Span("template", prompt.after, 1)]
    return [span for span in spans if span.text]


def choose_wording(task: Task, example: Example, *, how: str, seed: int) -> str:
    """The wording an example is shown with: its own where it names one, the definition, or one drawn by id and seed.

    An example with messages is shown with none: its text already holds its instruction.

    Raises:
        InputError: the example names a wording that its task does not have.
    """
    index = example.wording_index
    if index is not None and not 0 <= index < len(task.wordings):
        raise InputError(
            f"example {example.example_id}: wording_index {index} is not allowed; task {task.task_id} has "
            f"{len(task.wordings)} wording(s), counted from 0. Correct the pool's record."
        )
    if example.messages is not None:
        return ""
    if index is not None:
        return task.wordings[index]
    if how == "definition":
        return task.definition
    return task.wordings[stable_integer(seed, example.example_id) % len(task.wordings)]


def stable_integer(*parts: Any) -> int:
    """A 64-bit integer drawn from the parts alone, the same on every machine and in every process."""
    return int.from_bytes(blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest(), "big")
