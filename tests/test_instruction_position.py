"""The instruction behind the input: the same text in training and evaluation, under every template."""

from __future__ import annotations

import pytest
from makers import make_task

from instune.evaluation.tasks import Prompter
from instune.prompts import SEGMENTS, Prompt, Span, load_template, render
from instune.records import Example, Exemplar
from instune.tuning.labels import build_row, loss_weights
from instune.tuning.rows import Counts, RowBuilder, Shown

TASK = make_task(0, wordings=("Say it.",))
EXAMPLE = Example("task0", "task0-0", "red?", ("yes",))
SHOTS = [Exemplar("a", "b")]
ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
LIMITS = {"max_tokens": 300, "max_instruction_tokens": 50, "max_input_tokens": 50}
AFTER = Prompt(template="chat", instruction_position="after", wording="definition", exemplars=0, **LIMITS)


def text_of(spans: list[Span]) -> str:
    return "".join(span.text for span in spans)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain", "red?\n\nSay it.\n\nOutput:\nyes<|im_end|>"),
        ("tk_instruct", "Now complete the following example -\nInput: red?\n\nDefinition: Say it.\nOutput:\nyes<|im_end|>"),
        ("alpaca", ALPACA + "### Input:\nred?\n\n### Instruction:\nSay it.\n\n### Response:yes<|im_end|>"),
        ("tulu", "<|user|>\nred?\n\nSay it.\n<|assistant|>\nyes<|im_end|>\n"),
        ("bare", "red?\n\nSay it.\nyes<|im_end|>"),
        ("chat", "<|im_start|>user\nred?\n\nSay it.<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"),
    ],
)
def test_the_text_of_every_template_by_hand(tokenizer, name, text):
    prompt = load_template(name, tokenizer)
    given = {"prompt": prompt, "wording": "Say it.", "instruction_position": "after"}
    spans = render(TASK, EXAMPLE, output="yes", **given)
    assert text_of(spans) == text
    assert [span.text for span in spans if span.segment == "instruction"] == ["Say it."]
    assert [span.text for span in spans if span.segment == "input"] == ["red?"]
    assert text.startswith(text_of(render(TASK, EXAMPLE, output=None, **given)))


def test_worked_examples_stay_in_front_of_the_input(tokenizer):
    given = {"prompt": load_template("tk_instruct", tokenizer), "wording": "Say it.", "exemplars": SHOTS, "output": None}
    assert text_of(render(TASK, EXAMPLE, **given, instruction_position="after")) == (
        " Positive Example 1 -\nInput: a\n Output: b\n\nNow complete the following example -\nInput: red?\n\n"
        "Definition: Say it.\nOutput:\n"
    )


@pytest.mark.parametrize(("wording", "text"), [("", "red?"), ("Say it.", "")])
def test_one_text_alone_stands_where_it_always_does(tokenizer, wording, text):
    example = Example("task0", "e", text, ("yes",))
    for name in ("plain", "alpaca", "chat"):
        given = {"prompt": load_template(name, tokenizer), "wording": wording, "output": "yes"}
        assert render(TASK, example, **given, instruction_position="after") == render(TASK, example, **given)


@pytest.mark.parametrize("name", ["plain", "tk_instruct", "alpaca", "tulu", "chat"])
def test_training_and_evaluation_see_the_same(tokenizer, name):
    prompt = AFTER.model_copy(update={"template": name})
    builder = RowBuilder(
        {"task0": TASK},
        tokenizer,
        load_template(name, tokenizer),
        prompt,
        weights=loss_weights("it"),
        normalize_by="weights",
        seed=0,
    )
    row = builder.build(EXAMPLE, Counts())
    document = Prompter(prompt, tokenizer, max_new_tokens=8, seed=0, seq2seq=False).document(TASK, EXAMPLE)
    assert document.text.index("red?") < document.text.index("Say it.")
    asked = tokenizer(document.text, add_special_tokens=False)["input_ids"]
    assert row.input_ids[: len(asked)] == asked


def test_a_soft_instruction_stands_behind_the_input(tokenizer):
    given = {"tokenizer": tokenizer, "prompt": load_template("tulu", tokenizer), "wording": "Say it.", "output": "yes"}
    row = build_row(TASK, EXAMPLE, soft_tokens=3, instruction_position="after", **LIMITS, **given)
    first, length = row.soft
    assert length == 3
    assert tokenizer.decode(row.input_ids[:first]) == "<|user|>\nred?\n\n"
    assert tokenizer.decode(row.input_ids[first + 3 :]) == "\n<|assistant|>\nyes<|im_end|>\n"
    assert [SEGMENTS[owner] for owner in row.segments[first : first + 3]] == ["instruction"] * 3
    builder = RowBuilder(
        {"task0": TASK},
        tokenizer,
        given["prompt"],
        AFTER,
        weights=loss_weights("it"),
        normalize_by="weights",
        seed=0,
        show=lambda task, example: Shown(soft_tokens=3),
    )
    assert builder.build(EXAMPLE, Counts()).soft == row.soft
