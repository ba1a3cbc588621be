"""Conversations as text: what stands around each message, and which templates cannot show them."""

from __future__ import annotations

import copy

import pytest
from makers import make_task

from instune.chat import chat_pieces
from instune.conversations import Unshowable, with_input, without_pair
from instune.prompts import Span, load_template, render
from instune.records import Example, Message
from instune.scratch_model import CHATML

TASK = make_task(0, wordings=("",))
EACH = "{% for m in messages %}"
LINE = "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
SAID = {"s": "system", "u": "user", "a": "assistant"}


def talk(*messages: str) -> Example:
    """A conversation of texts such as `u:Hello`."""
    said = tuple(Message(SAID[message[0]], message[2:]) for message in messages)
    return Example(TASK.task_id, "talk", said[-2].content, (said[-1].content,), messages=said)


FOUR = talk("s:Be kind. ", "u: one\n", "a:1 \n", "u:two", "a:2")


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def spans_of(tokenizer, name, example, output="2"):
    return render(TASK, example, prompt=load_template(name, tokenizer), wording="", output=output)


def test_tulu_spans_by_hand(tokenizer):
    assert spans_of(tokenizer, "tulu", FOUR) == [
        Span("template", "<|system|>\n", 0),
        Span("system", "Be kind. ", 0),
        Span("template", "\n<|user|>\n", 0),
        Span("input", " one\n", 1),
        Span("template", "\n<|assistant|>\n", 1),
        Span("output", "1 \n<|im_end|>", 2),
        Span("template", "\n<|user|>\n", 2),
        Span("input", "two", 3),
        Span("template", "\n<|assistant|>\n", 3),
        Span("output", "2<|im_end|>", 4),
        Span("template", "\n", 4),
    ]


def test_chat_spans_by_hand(tokenizer):
    assert spans_of(tokenizer, "chat", FOUR) == [
        Span("template", "<|im_start|>system\n", 0),
        Span("system", "Be kind. ", 0),
        Span("template", "<|im_end|>\n<|im_start|>user\n", 0),
        Span("input", " one\n", 1),
        Span("template", "<|im_end|>\n<|im_start|>assistant\n", 1),
        Span("output", "1 \n<|im_end|>", 2),
        Span("template", "\n<|im_start|>user\n", 2),
        Span("input", "two", 3),
        Span("template", "<|im_end|>\n<|im_start|>assistant\n", 3),
        Span("output", "2<|im_end|>", 4),
        Span("template", "\n", 4),
    ]


@pytest.mark.parametrize("name", ["tulu", "chat"])
def test_a_prompt_holds_the_earlier_answers_and_is_the_start_of_the_training_text(tokenizer, name):
    whole, prompt = spans_of(tokenizer, name, FOUR), spans_of(tokenizer, name, FOUR, output=None)
    assert prompt == whole[:-2]
    assert Span("output", "1 \n<|im_end|>", 2) in prompt


def test_the_prompt_is_what_the_tokenizer_would_ask_with(tokenizer):
    prompt = "".join(span.text for span in spans_of(tokenizer, "chat", FOUR, output=None))
    asked = [vars(message) for message in FOUR.messages[:-1]]
    assert prompt == tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)


def test_the_answer_that_is_given_stands_in_the_place_of_the_last(tokenizer):
    text = "".join(span.text for span in spans_of(tokenizer, "chat", FOUR, output="other"))
    assert text.endswith("assistant\nother<|im_end|>\n")
    assert "\n2<" not in text


@pytest.mark.parametrize("name", ["tulu", "chat"])
def test_one_pair_in_a_conversation_reads_as_a_single_turn_row(tokenizer, name):
    """What a system message stands in front of is the text of a row without one."""
    alone = "".join(span.text for span in spans_of(tokenizer, name, talk("u:one", "a:1"), output="1"))
    after = "".join(span.text for span in spans_of(tokenizer, name, talk("s:Be kind.", "u:one", "a:1"), output="1"))
    assert after.endswith(alone)
    assert len(after) > len(alone)


def test_a_default_system_prompt_is_the_templates_text(tokenizer):
    default = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    changed = with_template(tokenizer, default + CHATML)
    spans = spans_of(changed, "chat", talk("u:one", "a:1", "u:two", "a:2"))
    assert spans[0] == Span("template", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n", 0)
    assert spans_of(changed, "chat", FOUR) == spans_of(tokenizer, "chat", FOUR)


@pytest.mark.parametrize("name", ["plain", "alpaca", "tk_instruct"])
@pytest.mark.parametrize("example", [FOUR, talk("s:Be kind.", "u:one", "a:1"), talk("u:one", "a:1", "u:two", "a:2")])
def test_templates_for_one_turn_say_that_they_have_no_other_form(tokenizer, name, example):
    with pytest.raises(Unshowable, match=f"^template {name} has no form for several turns or a system message$"):
        spans_of(tokenizer, name, example)


FORGETS = EACH + "{% if m['role'] != 'assistant' or loop.last %}" + LINE + "{% endif %}{% endfor %}"
NO_SYSTEM = EACH + "{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + LINE + "{% endfor %}"
BACKWARDS = "{% for m in messages[:-1] | reverse %}" + LINE + "{% endfor %}{% set m = messages[-1] %}" + LINE
TWICE = EACH + LINE + "{% endfor %}"
TWICE = "{% if messages | length > 2 %}{{ messages[0]['content'] }}{% endif %}" + TWICE
SYSTEM_LAST = EACH + "{% if m['role'] != 'system' %}" + LINE + "{% endif %}{% endfor %}{{ messages[0]['content'] }}"
UNENDED = EACH + "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% if loop.last %}<|im_end|>{% endif %}\n{% endfor %}"
TRIMS_HISTORY = (
    EACH + LINE.replace("m['content']", "m['content'] if loop.last or loop.first else m['content'] | trim") + "{% endfor %}"
)
THINKS = EACH + LINE.replace("m['content']", "m['content'] if loop.last else m['content'].split('</think>')[-1]") + "{% endfor %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (FORGETS, "leaves out a message"),
        (NO_SYSTEM, "refuses a system message"),
        (BACKWARDS, "shows messages in another order"),
        (TWICE, "shows a message more than once"),
        (UNENDED, "ends earlier answers without the terminator"),
        (TRIMS_HISTORY, "adds or takes away blanks in this text"),
    ],
    ids=[
        "forgets earlier answers",
        "refuses the system role",
        "reorders",
        "says it twice",
        "ends only the last",
        "trims history",
    ],
)
def test_templates_that_do_not_show_a_conversation_as_it_is_said_are_named(tokenizer, template, reason):
    changed = with_template(tokenizer, template)
    single = spans_of(changed, "chat", talk("u:one", "a:1"), output="1")  # one turn they do show
    assert [span.text for span in single if span.segment != "template"] == ["one", "1<|im_end|>"]
    with pytest.raises(Unshowable, match=f"^the tokenizer's chat template {reason}$"):
        spans_of(changed, "chat", FOUR)


def test_a_template_that_drops_reasoning_of_earlier_answers_loses_only_the_rows_that_hold_some(tokenizer):
    changed = with_template(tokenizer, THINKS)
    assert spans_of(changed, "chat", FOUR) == spans_of(tokenizer, "chat", FOUR)
    with pytest.raises(Unshowable, match="rewrites"):
        spans_of(changed, "chat", talk("u:one", "a:<think>hm</think>1", "u:two", "a:2"))
    assert spans_of(changed, "chat", talk("u:one", "a:1", "u:two", "a:<think>hm</think>2"))


def test_text_that_looks_like_a_marker_is_no_marker(tokenizer):
    odd = talk("u:\ue0000\ue000", "a:<|im_end|>\n<|im_start|>user\n", "u:\ue0001\ue000", "a:2")
    said = [span.text for span in spans_of(tokenizer, "chat", odd) if span.segment != "template"]
    assert said == ["\ue0000\ue000", "<|im_end|>\n<|im_start|>user\n<|im_end|>", "\ue0001\ue000", "2<|im_end|>"]


def test_pieces_are_found_for_many_messages_in_order(tokenizer):
    roles = ["user", "assistant"] * 15
    pieces = chat_pieces(tokenizer, roles)
    assert len(pieces) == 31
    assert pieces[0] == "<|im_start|>user\n"
    assert set(pieces[1:-1:2]) == {"<|im_end|>\n<|im_start|>assistant\n"}
    with pytest.raises(Unshowable, match="another order"):
        chat_pieces(with_template(tokenizer, SYSTEM_LAST), ["system", "user", "assistant"])


def test_pairs_are_taken_from_the_end_or_from_the_start():
    shorter, later = without_pair(FOUR, oldest=False), without_pair(FOUR, oldest=True)
    assert [message.content for message in shorter.messages] == ["Be kind. ", " one\n", "1 \n"]
    assert (shorter.input, shorter.references) == (" one\n", ("1 \n",))
    assert [message.content for message in later.messages] == ["Be kind. ", "two", "2"]
    assert (later.input, later.references) == (FOUR.input, FOUR.references)
    assert [message.content for message in with_input(FOUR, "t").messages] == ["Be kind. ", " one\n", "1 \n", "t", "2"]
