"""What is cut where an example does not fit: whole turns, then worked examples, then the end of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from instune.conversations import has_several_pairs, is_conversation, with_input, without_pair
from instune.prompts import Position, render
from instune.records import Example, Exemplar, Task
from instune.templates import Template
from instune.tuning.encoding import Encoded, cut_text, encode_parts


def encode_example(
    task: Task,
    example: Example,
    *,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Template,
    wording: str = "",
    exemplars: Sequence[Exemplar] = (),
    output: str | None,
    soft_tokens: int,
    instruction_position: Position,
) -> Encoded:
    """The example as rendered, with its ids."""
    spans = render(
        task,
        example,
        prompt=prompt,
        wording=wording,
        exemplars=exemplars,
        output=output,
        instruction_position=instruction_position,
    )
    answer = len(example.messages) - 1 if is_conversation(example) else 1
    return encode_parts(spans, tokenizer, prompt, answer, soft_tokens)


def fit_turns(
    encode: Callable[..., Encoded], example: Example, output: str | None, max_tokens: int
) -> tuple[Example, str | None]:
    """The conversation that fits, or one pair that may not, and its output.

    Rows to learn lose their last pairs, so that every learned answer sees its whole history; prompts lose the oldest, so that
    what is asked stays.
    """
    while has_several_pairs(example) and len(encode(example, output=output).ids) > max_tokens:
        example = without_pair(example, oldest=output is None)
        output = None if output is None else example.references[0]
    return example, output


def fit_input(
    encode: Callable[..., Encoded],
    example: Example,
    exemplars: Sequence[Exemplar],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
) -> tuple[Encoded, str, int] | None:
    """The draft that fits, its input and how many exemplars it kept; None where even an empty input is too long."""
    text, kept = example.input, list(exemplars)
    while True:
        encoded = encode(with_input(example, text), exemplars=kept)
        overflow = len(encoded.ids) - max_tokens
        if overflow <= 0:
            return encoded, text, len(kept)
        if kept:
            kept.pop()
        elif text:
            length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
            shorter = cut_text(text, tokenizer, max(0, length - overflow))
            text = shorter if len(shorter) < len(text) else text[:-1]  # each round removes something
        else:
            return None
