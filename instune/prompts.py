"""Render an example to spans of text, the one path for training and evaluation.

A row is a list of `Span`s whose texts, joined, are exactly what the tokenizer reads. Segments are `template, system, instruction,
examples, input, output`. The terminator that the template emits belongs to `output`: it is learned, and generation stops at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from transformers import PreTrainedTokenizerBase

from instune.config import Section
from instune.errors import InputError
from instune.records import Example, Exemplar, Task

SEGMENTS = ("template", "system", "instruction", "examples", "input", "output")
TemplateName = Literal["chat", "plain", "alpaca", "tk_instruct", "tulu"]
_USER, _OUTPUT = "\ue000user\ue000", "\ue000output\ue000"  # private-use characters: no data and no template holds them


class Prompt(Section):
    """How an example becomes text; shared by optimize_instructions, finetune and evaluate."""

    template: TemplateName  # chat: the tokenizer's own; plain: instruction, input, "Output:"; the others as published
    wording: Literal["definition", "any"]  # any: a wording drawn per example by its id and the seed
    exemplars: NonNegativeInt  # positive examples of the task in the prompt
    max_instruction_tokens: PositiveInt  # longer instructions are cut at their end, and counted
    max_input_tokens: PositiveInt  # longer inputs are cut at their end, and counted
    max_tokens: PositiveInt  # a whole row, output and terminator included


@dataclass(frozen=True)
class Span:
    """A run of text and the segment that owns it; `turn` counts the messages of a chat from 0."""

    segment: str
    text: str
    turn: int = 0


@dataclass(frozen=True)
class Template:
    """The fixed text around one user turn and one assistant turn.

    Attributes:
        before: text in front of the user's content, BOS included where the tokenizer wants one.
        between: text from the user's content to the output.
        terminator: what the model must emit to stop; learned, part of `output`.
        after: what follows the terminator; never learned.
        source_end: what closes the source of a seq2seq model; None for a causal model.
        before_bare: `before` for an example without input, where that differs.
        heads: segment -> text in front of it.
        exemplar: layout of a worked example, with places for number, input and output.
    """

    name: str
    before: str
    between: str
    terminator: str
    after: str
    source_end: str | None = None
    before_bare: str | None = None
    heads: Mapping[str, str] = field(default_factory=dict)
    exemplar: str = "Input: {input}\nOutput: {output}"


TEXT_TEMPLATES = {
    "plain": Template("plain", "", "\n\nOutput:\n", "", ""),
    # https://github.com/tatsu-lab/stanford_alpaca, train.py
    "alpaca": Template(
        "alpaca",
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n",
        "\n\n### Response:",
        "",
        "",
        before_bare="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n",
        heads={"instruction": "### Instruction:\n", "input": "### Input:\n"},
    ),
    # https://github.com/yizhongw/Tk-Instruct, src/ni_collator.py; a space follows "Output:" there, which tokenizers merge
    # with the answer. Text is neither stripped nor given a full stop.
    "tk_instruct": Template(
        "tk_instruct",
        "",
        "\nOutput:\n",
        "",
        "",
        heads={"instruction": "Definition: ", "input": "Now complete the following example -\nInput: "},
        exemplar=" Positive Example {number} -\nInput: {input}\n Output: {output}",
    ),
    # https://github.com/allenai/open-instruct, and src/finetune.py of arXiv 2405.14394
    "tulu": Template("tulu", "<|user|>\n", "\n<|assistant|>\n", "", "\n"),
}


def _bos(tokenizer: PreTrainedTokenizerBase) -> str:
    """The BOS text where the tokenizer adds one by itself, else nothing: rows are tokenized without special tokens."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token if ids and ids[0] == tokenizer.bos_token_id and tokenizer.bos_token else ""


def _chat_text(tokenizer: PreTrainedTokenizerBase, user: str, output: str) -> str:
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": output}]
    return tokenizer.apply_chat_template(messages, tokenize=False)


def _chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    if not tokenizer.chat_template:
        raise InputError(
            "prompt.template: chat, but the base model's tokenizer has no chat template. Set prompt.template: plain."
        )
    text = _chat_text(tokenizer, _USER, _OUTPUT)
    if text.count(_USER) != 1 or text.count(_OUTPUT) != 1 or text.index(_USER) > text.index(_OUTPUT):
        raise InputError("prompt.template: chat: the tokenizer's template does not keep user and assistant text in order.")
    before, rest = text.split(_USER)
    between, tail = rest.split(_OUTPUT)
    probe = (" a \n", " b \n")
    if _chat_text(tokenizer, *probe) != f"{before}{probe[0]}{between}{probe[1]}{tail}":
        raise InputError("prompt.template: chat: the tokenizer's template rewrites message text. Set prompt.template: plain.")
    special = [token for token in tokenizer.all_special_tokens if tail.startswith(token)]
    if not special:
        raise InputError("prompt.template: chat: the tokenizer's template ends an answer without a special token.")
    terminator = max(special, key=len)
    return Template("chat", before, between, terminator, tail[len(terminator) :])


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
    )


def _exemplar_text(exemplars: Sequence[Exemplar], layout: str) -> str:
    return "\n\n".join(
        layout.format(number=number, input=exemplar.input, output=exemplar.output) for number, exemplar in enumerate(exemplars, 1)
    )


def render(
    task: Task,
    example: Example,
    *,
    prompt: Template,
    wording: str,
    exemplars: Sequence[Exemplar] = (),
    output: str | None,
) -> list[Span]:
    """Spans of one single-turn row; empty segments leave no span and no separator behind.

    Args:
        task: the example's task.
        example: the instance whose input is asked about.
        prompt: the text around the segments.
        wording: the instruction's text.
        exemplars: worked examples between instruction and input.
        output: the text to learn, or None for a generation prompt, which is then a prefix of the training text.

    Returns:
        spans whose turn 0 is the prompt (a seq2seq model's source) and turn 1 the answer (its target).

    Raises:
        InputError: the example belongs to another task.
    """
    if example.task_id != task.task_id:
        raise InputError(f"example {example.example_id} belongs to task {example.task_id}, not to {task.task_id}")
    contents = [("instruction", wording), ("examples", _exemplar_text(exemplars, prompt.exemplar)), ("input", example.input)]
    bare = prompt.before_bare is not None and not example.input
    spans = [Span("template", prompt.before_bare if bare else prompt.before)]
    for position, (segment, text) in enumerate((segment, text) for segment, text in contents if text):
        separator = "\n\n" if position else ""
        spans += [Span("template", separator + prompt.heads.get(segment, "")), Span(segment, text)]
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
