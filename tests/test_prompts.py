"""Rendering: what stands around the segments, which templates are refused, and where a draw comes from."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from makers import make_example, make_task
from pydantic import ValidationError
from tokenizers import processors

from instune.errors import InputError
from instune.prompts import Prompt, Span, choose_wording, load_template, render, stable_integer
from instune.records import Example, Exemplar, Message

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ BODY }}<|im_end|>\n{% endfor %}"


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


@pytest.fixture
def task():
    return make_task(0, wordings=("Name it.", "Which is it?"))


def test_chat_text_is_the_tokenizers_own(tokenizer, task):
    example = make_example(task, 0)
    spans = render(task, example, prompt=load_template("chat", tokenizer), wording="Name it.", output="red")
    messages = [{"role": "user", "content": f"Name it.\n\n{example.input}"}, {"role": "assistant", "content": "red"}]
    assert "".join(span.text for span in spans) == tokenizer.apply_chat_template(messages, tokenize=False)
    prompt = render(task, example, prompt=load_template("chat", tokenizer), wording="Name it.", output=None)
    generation = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert "".join(span.text for span in prompt) == generation


def test_plain_spans_by_hand(tokenizer, task):
    example = make_example(task, 0, text="A red apple.")
    spans = render(
        task,
        example,
        prompt=load_template("plain", tokenizer),
        wording="Name it.",
        exemplars=[Exemplar("a", "b"), Exemplar("c", "d")],
        output="red",
    )
    assert spans == [
        Span("instruction", "Name it."),
        Span("template", "\n\n"),
        Span("examples", "Input: a\nOutput: b\n\nInput: c\nOutput: d"),
        Span("template", "\n\n"),
        Span("input", "A red apple."),
        Span("template", "\n\nOutput:\n"),
        Span("output", "red<|im_end|>", 1),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "alpaca",
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n### Instruction:\nName it.\n\n"
            "### Input:\nA red apple.\n\n### Response:red<|im_end|>",
        ),
        (
            "tk_instruct",
            "Definition: Name it.\n\nNow complete the following example -\nInput: A red apple.\nOutput:\nred<|im_end|>",
        ),
        ("bare", "Name it.\n\nA red apple.\nred<|im_end|>"),
        ("tulu", "<|user|>\nName it.\n\nA red apple.\n<|assistant|>\nred<|im_end|>\n"),
    ],
)
def test_published_templates_by_hand(tokenizer, task, name, text):
    example = make_example(task, 0, text="A red apple.")
    spans = render(task, example, prompt=load_template(name, tokenizer), wording="Name it.", output="red")
    assert "".join(span.text for span in spans) == text
    owned = {span.segment: span.text for span in spans if span.segment != "template"}
    assert owned == {"instruction": "Name it.", "input": "A red apple.", "output": "red<|im_end|>"}


def test_alpaca_says_that_there_is_no_input(tokenizer, task):
    example = Example(task.task_id, "x", "", ("red",))
    spans = render(task, example, prompt=load_template("alpaca", tokenizer), wording="Name it.", output=None)
    assert "".join(span.text for span in spans) == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nName it.\n\n### Response:"
    )


def test_alpaca_shows_a_message_as_its_instruction(tokenizer, task):
    messages = (Message("user", "Name it."), Message("assistant", "red"))
    example = Example(task.task_id, "x", "Name it.", ("red",), messages=messages)
    spans = render(task, example, prompt=load_template("alpaca", tokenizer), wording="", output=None)
    assert "".join(span.text for span in spans) == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nName it.\n\n### Response:"
    )
    assert Span("input", "Name it.") in spans


def test_tk_instruct_numbers_its_exemplars(tokenizer, task):
    prompt, shown = load_template("tk_instruct", tokenizer), [Exemplar("{a}", "b"), Exemplar("c", "d")]
    spans = render(task, make_example(task, 0), prompt=prompt, wording="W", exemplars=shown, output=None)
    text = next(span.text for span in spans if span.segment == "examples")
    assert text == " Positive Example 1 -\nInput: {a}\n Output: b\n\n Positive Example 2 -\nInput: c\n Output: d"


def test_an_empty_segment_leaves_no_separator(tokenizer, task):
    example = Example(task.task_id, "x", "", ("red",))
    spans = render(task, example, prompt=load_template("plain", tokenizer), wording="Name it.", output=None)
    assert [span.text for span in spans] == ["Name it.", "\n\nOutput:\n"]


@pytest.mark.parametrize("output", [" red", "red\n", "\n", "two\n\nlines", "<b>"])
def test_text_is_never_stripped(tokenizer, task, output):
    spans = render(task, make_example(task, 0, text=" a \n"), prompt=load_template("chat", tokenizer), wording="W", output=output)
    assert Span("input", " a \n") in spans
    assert [span.text for span in spans if span.segment == "output"] == [output + "<|im_end|>"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("m['content'] | trim", "rewrites message text"),
        ("m['content'] | upper", "keep user and assistant text|rewrites message text"),
        ("'hidden'", "does not keep user and assistant text"),
        ("m['content'] if m['role'] == 'user' else ''", "does not keep user and assistant text"),
    ],
)
def test_templates_that_change_what_is_said_are_refused(tokenizer, body, message):
    with pytest.raises(InputError, match=message):
        load_template("chat", with_template(tokenizer, CHATML.replace("BODY", body)))


def test_a_template_without_terminator_is_refused(tokenizer):
    bare = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    with pytest.raises(InputError, match="without a special token"):
        load_template("chat", with_template(tokenizer, bare))


def test_no_chat_template_is_refused_with_the_way_out(tokenizer):
    with pytest.raises(InputError, match=r"prompt\.template: plain"):
        load_template("chat", with_template(tokenizer, None))


def test_an_example_of_another_task_is_refused(tokenizer, task):
    with pytest.raises(InputError, match="belongs to task task1"):
        render(task, make_example(make_task(1), 0), prompt=load_template("plain", tokenizer), wording="W", output=None)


def test_wording_is_the_examples_own_the_definition_or_drawn_by_id(task):
    own = Example("task0", "e", "x", ("y",), wording_index=1)
    assert choose_wording(task, own, how="definition", seed=0) == "Which is it?"
    examples = [make_example(task, number) for number in range(40)]
    assert {choose_wording(task, example, how="definition", seed=0) for example in examples} == {"Name it."}
    drawn = [choose_wording(task, example, how="any", seed=0) for example in examples]
    assert set(drawn) == set(task.wordings)
    assert drawn == [choose_wording(task, example, how="any", seed=0) for example in examples]
    assert drawn != [choose_wording(task, example, how="any", seed=1) for example in examples]


@pytest.mark.parametrize("index", [-1, 2])
def test_a_wording_that_is_not_there_is_refused(task, index):
    with pytest.raises(InputError, match="wording_index"):
        choose_wording(task, Example("task0", "e", "x", ("y",), wording_index=index), how="any", seed=0)


def test_stable_integer_is_the_same_in_every_process():
    assert stable_integer(0, "a") == 2962476648899723354


def test_an_example_with_messages_is_shown_without_an_instruction_of_its_task(task):
    turns = (Message("user", "Name it. x"), Message("assistant", "red"))
    for how, index in (("definition", None), ("any", None), ("any", 1)):
        example = Example("task0", "e", "Name it. x", ("red",), wording_index=index, messages=turns)
        assert choose_wording(task, example, how=how, seed=0) == ""
    with pytest.raises(InputError, match="wording_index 2"):
        choose_wording(task, Example("task0", "e", "x", ("y",), wording_index=2, messages=turns), how="any", seed=0)


def ending_with(tokenizer, single):
    changed = copy.deepcopy(tokenizer)
    changed.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    special = [(token, changed.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    changed.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    return changed


@pytest.mark.parametrize(("single", "text"), [("<s> $A </s>", "<s>W</s>"), ("$A </s>", "W</s>")])
def test_a_seq2seq_source_is_framed_as_its_tokenizer_frames_it(tokenizer, task, single, text):
    framed = ending_with(tokenizer, single)  # as BART's, as T5's
    template = replace(load_template("plain", framed, seq2seq=True), between="")
    spans = render(task, Example("task0", "e", "", ("red",)), prompt=template, wording="W", output=None)
    assert "".join(span.text for span in spans) == text


@pytest.mark.parametrize(
    ("key", "value"), [("exemplars", -1), ("max_instruction_tokens", 0), ("max_input_tokens", 0), ("max_tokens", 0)]
)
def test_counts_below_their_least_are_refused(key, value):
    least = {"exemplars": 0, "max_instruction_tokens": 1, "max_input_tokens": 1, "max_tokens": 1}
    Prompt(template="plain", instruction_position="before", wording="any", **least)
    with pytest.raises(ValidationError, match=key):
        Prompt(template="plain", instruction_position="before", wording="any", **(least | {key: value}))
