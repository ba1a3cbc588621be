"""Conversations as evaluation prompts: what is asked, what is cut, and what is refused."""

from __future__ import annotations

import pytest
from makers import make_task

from instune.errors import InputError
from instune.evaluation.tasks import Document, Prompter
from instune.prompts import Prompt
from instune.records import Example, Message

TASK = make_task(0, wordings=("",))
MESSAGES = (
    Message("system", "Be kind."),
    Message("user", " The apple is red.\n"),
    Message("assistant", "yes \n"),
    Message("user", "Say yes or no."),
    Message("assistant", "no"),
)
EXAMPLE = Example(TASK.task_id, "talk", "Say yes or no.", ("no",), messages=MESSAGES)


def document(tokenizer, template="chat", max_tokens=200) -> Document:
    prompt = Prompt(
        template=template,
        instruction_position="before",
        wording="any",
        exemplars=0,
        max_instruction_tokens=40,
        max_input_tokens=40,
        max_tokens=max_tokens,
    )
    return Prompter(prompt, tokenizer, max_new_tokens=8, seed=0, seq2seq=False).document(TASK, EXAMPLE)


def test_the_last_answer_is_asked_for_after_the_whole_conversation(tokenizer):
    asked = [vars(message) for message in MESSAGES[:-1]]
    shown = document(tokenizer)
    assert shown.text == tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert shown.reference == "no<|im_end|>"
    assert shown.truncated == ()
    assert document(tokenizer, "tulu").text == (
        "<|system|>\nBe kind.\n<|user|>\n The apple is red.\n\n<|assistant|>\nyes \n<|im_end|>\n"
        "<|user|>\nSay yes or no.\n<|assistant|>\n"
    )


def test_a_prompt_too_long_keeps_the_question_and_says_what_was_cut(tokenizer):
    whole = document(tokenizer)
    shown = document(tokenizer, max_tokens=whole.tokens + 8 - 1)
    assert shown.text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nSay yes or no.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert shown.truncated == ("turns",)
    assert len(tokenizer(shown.text, add_special_tokens=False)["input_ids"]) == shown.tokens
    assert shown.example is EXAMPLE


def test_a_template_without_a_form_for_turns_is_refused_with_the_way_out(tokenizer):
    message = r"task task0, example talk: template plain has no form for several turns or a system message\. Set prompt\.template"
    with pytest.raises(InputError, match=message):
        document(tokenizer, "plain")


def test_a_conversation_that_cannot_fit_is_refused_with_the_room(tokenizer):
    with pytest.raises(InputError, match=r"example talk: row longer than .* There is room for 12\. Raise prompt\.max_tokens"):
        document(tokenizer, max_tokens=20)
