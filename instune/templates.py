"""The text that templates put around instruction, input and output, as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from instune.conversations import PiecesOf
from instune.released import Windows


@dataclass(frozen=True)
class Template:
    """The text around one user turn and one assistant turn, or around the messages of a conversation.

    Attributes:
        before: text in front of the user's content, BOS included where the tokenizer wants one.
        between: text from the user's content to the output.
        terminator: what the model must emit to stop; learned, part of `output`.
        after: what follows the terminator; never learned.
        source_end: what closes the source of a seq2seq model; None for a causal model.
        before_bare: `before` for an example without input, or without instruction, where that differs; what there is has the
            instruction's head then.
        heads: segment -> text in front of it.
        exemplar: layout of a worked example, with places for number, input and output.
        conversation: messages -> the text around them, terminators taken off; None: no form for several turns is published.
        released: what the mask `released_im` looks for in token ids; None: it is not defined on this template.
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
    conversation: PiecesOf | None = None
    released: Windows | None = None


TEXT_TEMPLATES = {
    "plain": Template("plain", "", "\n\nOutput:\n", "", ""),
    "bare": Template("bare", "", "\n", "", ""),  # for text that asks by itself, as P3's prompts do
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
