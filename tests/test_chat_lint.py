"""The verdict on every family's chat template, written by hand; what is decided is what the tokenizer writes."""

from __future__ import annotations

import copy
from itertools import product

import pytest
from makers import make_task

from instune.chat import REASONS, chat_text, find_chat
from instune.chat_lint import DECIDED, SHAPES, lint, messages_of
from instune.conversations import Unshowable
from instune.prompts import Span, load_template, render
from instune.records import Example, Message
from instune.tuning.encoding import encode
from tools.lint_templates.families import families

FAMILIES = {family.name: family for family in families()}
WHOLE = (DECIDED,) * 4
NO_SYSTEM = (DECIDED, "refuses_system") * 2
OTHERWISE = {  # pair, system, turns, system and turns
    "chatglm-4": ("no_terminator",) * 4,
    "falcon": ("no_terminator",) * 4,
    "gemma": NO_SYSTEM,
    "gemma-2": NO_SYSTEM,
    "mistral-v0.1": NO_SYSTEM,
    "gpt-oss": ("asks_for_date",) * 4,
    "granite-3.1": ("asks_for_date",) * 4,
    "llama-3.2": ("asks_for_date",) * 4,
    "smollm3": ("asks_for_date",) * 4,
    "gpt-oss-dated": (DECIDED, DECIDED, "open_history", "open_history"),
    "llama-2": ("blanks_before_terminator",) * 4,
    "mistral-nemo": (DECIDED, DECIDED, DECIDED, "reorders"),
    "mistral-v0.3": (DECIDED, DECIDED, DECIDED, "reorders"),
    "phi-3": (DECIDED, "leaves_out") * 2,
}
TRIMMING = ("command-r", "gemma", "gemma-2", "gemma-3", "llama-3", "llama-3.1", "mistral-v0.3", "qwen3")
NOTES = {
    "asks for": (
        ["deepseek-r1", "deepseek-v2", "gpt-oss-dated", "mistral-v0.3", "mixtral", "openchat-3.5", "qwen3", "vicuna"],
        "asks for an answer with another text than answers are learned behind",
    ),
    "merged": (["gemma-3", "mistral-nemo", "mistral-v0.3", "mixtral"], "puts the system message into the user's turn"),
    "in turn": (
        ["gemma", "gemma-2", "gemma-3", "mistral-nemo", "mistral-v0.1", "mistral-v0.3", "mixtral"],
        "wants user and assistant in turn",
    ),
    "own system": (
        ["alpaca", "exaone-3.5", "llama-3.1", "qwen2.5", "smollm2", "vicuna"],
        "writes a system turn of its own where there is no system message",
    ),
}


@pytest.fixture(scope="module")
def tokenizers():
    return {name: family.tokenizer() for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def verdicts(tokenizers):
    return {name: lint(tokenizer) for name, tokenizer in tokenizers.items()}


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def test_more_than_twenty_families_are_examined():
    assert len(FAMILIES) >= 40
    assert set(OTHERWISE) < set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_verdict_by_hand(verdicts, name):
    assert tuple(verdicts[name].shapes[shape] for shape in SHAPES) == OTHERWISE.get(name, WHOLE)
    dropped = {"blank ends": "strips"} if name in TRIMMING else {}
    assert verdicts[name].dropped == dropped | ({"reasoning": "rewrites"} if name in ("qwen3", "deepseek-r1") else {})


@pytest.mark.parametrize("kind", NOTES)
def test_the_notes_by_hand(verdicts, kind):
    expected, note = NOTES[kind]
    assert [name for name, verdict in verdicts.items() if note in verdict.notes] == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_decided_is_what_the_tokenizer_writes_and_every_message_has_its_tokens(tokenizers, verdicts, name):
    tokenizer, texts = tokenizers[name], [("Say <b>.", "a\nb"), ("\u65e5\u672c?", "\U0001f642 c"), ("{{ x }}", "yes")]
    for shape, (user, answer) in product(SHAPES, texts):
        if verdicts[name].shapes[shape] != DECIDED:
            continue
        messages = messages_of(SHAPES[shape], user, answer)
        task, prompt = make_task(0, wordings=("",)), load_template("chat", tokenizer)
        example = Example("task0", "e", user, (answer,), messages=messages)
        spans = render(task, example, prompt=prompt, wording="", output=answer)
        assert "".join(span.text for span in spans) == chat_text(tokenizer, messages)
        ids, owners, turns = encode(spans, tokenizer)
        assert ids == tokenizer.apply_chat_template([vars(message) for message in messages])["input_ids"]
        owned = list(zip(ids, owners, turns if len(messages) > 2 else [owner == 5 for owner in owners], strict=True))
        for number, message in enumerate(messages):
            index = {"system": 1, "user": 4, "assistant": 5}[message.role]
            text = tokenizer.decode([token for token, owner, turn in owned if (owner, turn) == (index, number)])
            said = message.content + prompt.terminator * (message.role == "assistant")
            assert text.removesuffix(said) in ("", " ")  # a blank in front that merges with the text is the later span's


def test_the_spans_of_mistral_by_hand(tokenizers):
    task, messages = make_task(0, wordings=("",)), messages_of("sua", "two?", "2")
    example = Example("task0", "e", "two?", ("2",), messages=messages)
    assert render(task, example, prompt=load_template("chat", tokenizers["mistral-nemo"]), wording="", output="2") == [
        Span("template", "<s>[INST]", 0),
        Span("system", "Be brief.", 0),
        Span("template", "\n\n", 0),
        Span("input", "two?", 1),
        Span("template", "[/INST]", 1),
        Span("output", "2</s>", 2),
    ]


def test_the_spans_of_qwen3_by_hand(tokenizers):
    """Only the last answer stands behind an empty thought; it is the template's."""
    task, messages = make_task(0, wordings=("",)), messages_of("uaua", "two?", "2")
    example = Example("task0", "e", "two?", ("2",), messages=messages)
    spans = render(task, example, prompt=load_template("chat", tokenizers["qwen3"]), wording="", output="2")
    assert [span.text for span in spans] == [
        "<|im_start|>user\n",
        "two?",
        "<|im_end|>\n<|im_start|>assistant\n",
        "2<|im_end|>",
        "\n<|im_start|>user\n",
        "two?",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "2<|im_end|>",
        "\n",
    ]


def test_a_row_that_a_trimming_template_leaves_alone_is_shown_and_another_is_not(tokenizers):
    conversation = find_chat(tokenizers["llama-3"]).conversation
    assert conversation(messages_of("uaua", "one\ntwo", "a  b"))
    for user, answer in ((" one", "a"), ("one\n", "a"), ("one", " a"), ("one", "a\n")):
        with pytest.raises(Unshowable) as caught:
            conversation(messages_of("uaua", user, answer))
        assert caught.value.name == "strips"


def test_reasoning_in_an_earlier_answer_is_the_history_that_is_rewritten(tokenizers):
    conversation = find_chat(tokenizers["qwen3"]).conversation
    thought = Message("assistant", "<think>\nhm\n</think>\n\nyes")
    plain = messages_of("uaua")
    with pytest.raises(Unshowable) as caught:
        conversation((plain[0], thought, *plain[2:]))
    assert caught.value.name == "rewrites"


BLOCK = "{% generation %}{{ HELD }}{% endgeneration %}"
LINES = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}ANSWER{% else %}{{ m['content'] }}<|im_end|>{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BLOCK.replace("HELD", "m['content'] + '<|im_end|>'"), DECIDED),
        (BLOCK.replace("HELD", "m['content']") + "<|im_end|>", "generation_disagrees"),  # the terminator would not be learned
        (BLOCK.replace("HELD", "'A:' + m['content'] + '<|im_end|>'"), "generation_disagrees"),
        (BLOCK.replace("HELD", "m['content'] + '<|im_end|>\\n'"), "generation_disagrees"),
    ],
)
def test_generation_blocks_agree_or_are_refused(tokenizer, answer, reason):
    verdict = lint(with_template(tokenizer, LINES.replace("ANSWER", answer)))
    assert verdict.shapes["pair"] == reason
    assert verdict.shapes["turns"] == reason


SAID = "{{ m['content'] }}<|im_end|>"
EACH = "{% for m in messages %}" + SAID + "{% endfor %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% if not tools %}{{ raise_exception('give tools') }}{% endif %}" + EACH, "raises"),
        ("{{ tools | length }}" + EACH, "raises"),  # an error of the template's own
        ("{{ messages[0].content }}" + EACH, "repeats"),
        ("{{ messages[1].content }}", "leaves_out"),
        ("{% for m in messages | reverse %}" + SAID + "{% endfor %}", "reorders"),
        (EACH.replace("m['content']", "m['content'] | replace('c', 'k')"), "rewrites"),
        (EACH.replace("m['content']", "m['content'] | replace(' ', '')"), "strips"),
        ("{{ strftime_now('%Y') if not date is defined else date }}" + EACH, "asks_for_date"),
        (EACH.replace("<|im_end|>", "\n"), "no_terminator"),
        (EACH.replace("<|im_end|>", " <|im_end|>"), "blanks_before_terminator"),
        (None, "no_template"),
    ],
)
def test_every_reason_has_a_template_that_shows_it(tokenizer, template, reason):
    assert set(lint(with_template(tokenizer, template)).shapes.values()) == {reason}


def test_a_date_beside_a_system_message_refuses_these_rows_alone(tokenizer):
    dated = "{% if messages[0].role == 'system' %}{{ strftime_now('%Y') }}{% endif %}" + EACH
    shapes = lint(with_template(tokenizer, dated)).shapes
    assert shapes == {"pair": DECIDED, "system": "asks_for_date", "turns": DECIDED, "system and turns": "asks_for_date"}


def test_ids_of_the_tokenizers_own_method_are_held_against_ours(tokenizer, monkeypatch):
    changed = with_template(tokenizer, EACH)
    own = type(changed).apply_chat_template

    def other(self, *positional, **named):
        made = own(self, *positional, **named)
        return {**made, "input_ids": [0, *made["input_ids"]]} if "return_dict" in named else made

    monkeypatch.setattr(type(changed), "apply_chat_template", other)
    assert lint(changed).shapes["pair"] == "tokenized_otherwise"


def test_every_reason_is_said_in_words():
    assert all(reason in REASONS for shapes in OTHERWISE.values() for reason in shapes if reason != DECIDED)


def test_of_several_templates_by_name_it_is_the_default_one(tokenizers):
    tokenizer = copy.deepcopy(tokenizers["chatml"])
    own = tokenizer.chat_template
    tokenizer.chat_template = {"default": own, "tool_use": "{{ tools }}"}
    assert lint(tokenizer) == lint(tokenizers["chatml"])
    tokenizer.chat_template = {"tool_use": own}
    assert set(lint(tokenizer).shapes.values()) == {"no_template"}
