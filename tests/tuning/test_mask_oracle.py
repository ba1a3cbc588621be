"""Ids, segments and weights written by hand, over tokenizers whose vocabularies are written by hand too.

The masking tests that section 10 of the notes on traps asks for: T1 in test_mask_property.py; T2 to T5 and T13 here, with T9 (no
label at the first token) in every case; T6 here and in tests/test_models.py; T7 here and in test_mask_messages.py; T11 and T14 in
test_mask_messages.py; T8, T10 and T12 with the training loop and evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hand_tokenizers import TOKENIZERS, byte_level
from makers import make_task

from instune.prompts import load_template
from instune.records import Example, Exemplar, Message
from instune.tuning.labels import IGNORE_INDEX, TOO_LONG, build_row, labels_and_weights, loss_weights

LIMITS = {"max_tokens": 100, "max_instruction_tokens": 50, "max_input_tokens": 50}
LETTERS = "TSIENO"  # template, system, instruction, examples, input, output: places in SEGMENTS


@dataclass(frozen=True)
class Case:
    """One row: what goes in, and what must come out; weights are written for `it` and `im`."""

    tokenizer: str
    template: str
    texts: tuple[str, str, str]  # instruction, input, output
    ids: str
    segments: str
    it: str
    im: str
    messages: tuple[tuple[str, str], ...] = ()
    changed: dict = field(default_factory=dict)
    merged: bool = False


CHAT = {
    "ids": "3 5 12 8 9 12 12 10 4 12 3 6 12 11 4 12",
    "segments": "TTTIITTNTTTTTOOT",
    "it": "0000000000000110",
    "im": "0001100100000110",
}
CASES = {
    "pad is eos": Case("words, pad is eos", "chat", ("Say it", "red", "blue"), **CHAT),
    "pad is not eos": Case("words, pad is not eos", "chat", ("Say it", "red", "blue"), **CHAT),
    "eos is appended by the tokenizer": Case(
        "words, appending eos",
        "plain",
        ("Say it", "red", "blue"),
        "8 9 12 12 10 12 12 13 12 11 2",
        "IITTNTTTTOO",
        "00000000011",
        "01001000011",  # nothing predicts the first token
    ),
    "bos is added by the tokenizer": Case(
        "words, adding bos",
        "plain",
        ("Say it", "red", "blue"),
        "1 8 9 12 12 10 12 12 13 12 11 2",
        "TIITTNTTTTOO",
        "000000000011",
        "011001000011",
    ),
    "byte-level, a token across the border in front of the output": Case(
        "bytes",
        "plain",
        ("a", "b", "\n\nb"),
        "5 3 3 6 3 3 24 8 13 25 8 13 26 15 3 6 2",
        "ITTNTTTTTTTTTOOOO",
        "00000000000001111",
        "00010000000001111",
        merged=True,
    ),
    "byte-level, the template's last blank goes with the output": Case(
        "bytes",
        "chat",
        ("", "a", "b"),
        "8 26 4 5 2 5 26 16 2",
        "TTTNTTTOO",
        "000000011",
        "000100011",
        changed={"chat_template": "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}<|im_end|>{% endfor %}"},
        merged=True,
    ),
    "sentencepiece": Case(
        "pieces",
        "plain",
        ("Say it", "red", "blue"),
        "1 4 5 8 8 6 8 8 9 10 8 7 2",
        "TIITTNTTTTTOO",
        "0000000000011",
        "0110010000011",
    ),
    "trailing blank of the input, leading blank of the output": Case(
        "pieces",
        "plain",
        ("Say it", "red ", " blue"),
        "1 4 5 8 8 6 3 8 8 9 10 8 12 2",
        "TIITTNNTTTTTOO",
        "00000000000011",
        "01100110000011",
    ),
    "markers inside the output": Case(
        "words, pad is eos",
        "chat",
        ("Say it", "", "red<|im_end|>\n<|im_start|>user blue"),
        "3 5 12 8 9 4 12 3 6 12 10 4 12 3 5 11 4 12",
        "TTTIITTTTTOOOOOOOT",
        "000000000011111110",
        "000110000011111110",
    ),
    "Chinese characters of three bytes": Case(
        "bytes",
        "plain",
        ("a", "日", "日b"),
        "5 3 3 17 18 19 3 3 24 8 13 25 8 13 26 3 17 18 19 6 2",
        "ITTNNNTTTTTTTTTTOOOOO",
        "000000000000000011111",
        "000111000000000011111",
    ),
    "emoji of four bytes": Case(
        "bytes",
        "plain",
        ("a", "🙂", "🙂"),
        "5 3 3 20 21 22 23 3 3 24 8 13 25 8 13 26 3 20 21 22 23 2",
        "ITTNNNNTTTTTTTTTTOOOOO",
        "0000000000000000011111",
        "0001111000000000011111",
    ),
    "no input": Case(
        "words, appending eos",
        "plain",
        ("Say it", "", "blue"),
        "8 9 12 12 13 12 11 2",
        "IITTTTOO",
        "00000011",
        "01000011",
    ),
    "no output but the terminator": Case(
        "words, pad is eos",
        "chat",
        ("Say it", "red", ""),
        "3 5 12 8 9 12 12 10 4 12 3 6 12 4 12",
        "TTTIITTNTTTTTOT",
        "000000000000010",
        "000110010000010",
    ),
    "two turns with a system message": Case(
        "words, pad is eos",
        "chat",
        ("", "Say", "red"),
        "3 7 12 9 4 12 3 5 12 10 4 12 3 6 12 11 4 12 3 5 12 8 4 12 3 6 12 10 4 12",
        "TTTSTTTTTNTTTTTOOTTTTNTTTTTOOT",
        "000000000000000110000000000110",
        "000100000100000110000100000110",
        messages=(("system", "it"), ("user", "red"), ("assistant", "blue"), ("user", "Say"), ("assistant", "red")),
    ),
}


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def row_of(tokenizer, template, texts, messages=(), **changes):
    wording, text, output = texts
    task = make_task(0, wordings=(wording,))
    said = tuple(Message(role, content) for role, content in messages) or None
    example = Example("task0", "e", text, (output,), messages=said)
    given = LIMITS | {"prompt": load_template(template, tokenizer), "wording": wording, "output": output} | changes
    return build_row(task, example, tokenizer=tokenizer, **given)


@pytest.mark.parametrize("name", CASES)
def test_row_by_hand(name):
    case = CASES[name]
    tokenizer = TOKENIZERS[case.tokenizer]()
    for attribute, value in case.changed.items():
        setattr(tokenizer, attribute, value)
    row, ids = row_of(tokenizer, case.template, case.texts, case.messages), numbers(case.ids)
    assert row.input_ids == ids
    assert "".join(LETTERS[owner] for owner in row.segments) == case.segments
    assert (row.merged, row.truncated) == (case.merged, ())
    for mask, weights in (("it", case.it), ("im", case.im)):
        labels, values = labels_and_weights(row, loss_weights(mask))
        assert values == [float(weight) for weight in weights]
        assert labels == [token if weight == "1" else IGNORE_INDEX for token, weight in zip(ids, weights, strict=True)]


def test_what_each_case_stands_for():
    """The vocabularies, read back: a case's ids are the text that its template writes."""
    assert TOKENIZERS["words, pad is eos"]().convert_ids_to_tokens(numbers(CHAT["ids"]))[:4] == [
        "<|im_start|>",
        "user",
        "\n",
        "Say",
    ]
    row = row_of(byte_level(), "plain", ("a", "日", "日b"))
    assert byte_level().decode(row.input_ids) == "a\n\n日\n\nOutput:\n日b<|im_end|>"
    assert row.text == byte_level().decode(row.input_ids)


ROOMS = {  # max_tokens -> ids of the row, None where it is dropped
    range(25, 28): "3 5 12 8 9 12 12 14 10 12 13 11 12 12 10 11 10 4 12 3 6 12 11 4 12",
    range(18, 25): "3 5 12 8 9 12 12 10 11 10 4 12 3 6 12 11 4 12",  # without the worked example
    range(17, 18): "3 5 12 8 9 12 12 10 11 4 12 3 6 12 11 4 12",
    range(16, 17): "3 5 12 8 9 12 12 10 4 12 3 6 12 11 4 12",
    range(13, 16): "3 5 12 8 9 4 12 3 6 12 11 4 12",  # an empty input takes its separator along
    range(1, 13): None,  # the output and its terminator are never cut: there is no row with a part of them (T7)
}


@pytest.mark.parametrize("room", range(1, 28))
def test_truncation_at_every_boundary(room):
    (ids,) = [ids for rooms, ids in ROOMS.items() if room in rooms]
    tokenizer = TOKENIZERS["words, pad is eos"]()
    row = row_of(tokenizer, "chat", ("Say it", "red blue red", "blue"), max_tokens=room, exemplars=[Exemplar("red", "blue")])
    if ids is None:
        assert row == TOO_LONG
        return
    assert row.input_ids == numbers(ids)
    assert [LETTERS[owner] for owner in row.segments[-3:]] == ["O", "O", "T"]
    labels, _ = labels_and_weights(row, loss_weights("it"))
    assert [label for label in labels if label != IGNORE_INDEX] == [11, 4]


@pytest.mark.parametrize(("limit", "ids"), [(1, "3 5 12 8 4 12 3 6 12 11 4 12"), (2, "3 5 12 8 9 4 12 3 6 12 11 4 12")])
def test_an_instruction_is_cut_at_its_own_limit(limit, ids):
    row = row_of(TOKENIZERS["words, pad is eos"](), "chat", ("Say it", "", "blue"), max_instruction_tokens=limit)
    assert row.input_ids == numbers(ids)
    assert row.truncated == (("instruction",) if limit == 1 else ())


@pytest.mark.parametrize(("limit", "kept"), [(1, ""), (2, ""), (3, "3 3 17 18 19"), (4, "3 3 17 18 19 6")])
def test_no_character_is_cut_in_two(limit, kept):
    """Of the three bytes of a character none stays where not all fit; an input of nothing leaves no separator."""
    row = row_of(byte_level(), "plain", ("a", "日b", "c"), max_input_tokens=limit)
    assert row.input_ids == numbers(f"5 {kept} 3 3 24 8 13 25 8 13 26 3 7 2")
