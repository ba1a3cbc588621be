"""Which turns of a conversation carry loss: by hand, under every mask and in every denominator."""

from __future__ import annotations

import pytest
from makers import make_task
from pydantic import ValidationError

from instune.prompts import SEGMENTS, Prompt, load_template
from instune.records import Example, Message
from instune.scratch_model import train_tokenizer
from instune.tuning.labels import (
    EVERY_TURN,
    IGNORE_INDEX,
    LossTurns,
    Row,
    build_row,
    chosen_turns,
    labels_and_weights,
    loss_weights,
)
from instune.tuning.rows import Counts, RowBuilder

TASK = make_task(0, wordings=("",))
SAID = (("system", "Be kind."), ("user", "one"), ("assistant", "1"), ("user", "two"), ("assistant", "2 2"))
LIMITS = {"max_tokens": 1000, "max_instruction_tokens": 1000, "max_input_tokens": 1000}
IT, IM, ALL = (loss_weights(name) for name in ("it", "im", "all"))


def turns(assistant: str, user: str) -> LossTurns:
    return LossTurns(assistant=assistant, user=user)


def talk(*said: tuple[str, str]) -> Example:
    messages = tuple(Message(role, text) for role, text in said)
    return Example(TASK.task_id, "talk", messages[-2].content, (messages[-1].content,), messages=messages)


def row_of(tokenizer, example, **changes) -> Row:
    given = LIMITS | {"wording": "", "output": example.references[0], "prompt": load_template("chat", tokenizer)} | changes
    return build_row(TASK, example, tokenizer=tokenizer, **given)


def learned(tokenizer, row, weights, chosen) -> list[str]:
    """The runs of text that carry loss."""
    labels, _ = labels_and_weights(row, weights, chosen)
    runs = [[]]
    for label in labels:
        if label == IGNORE_INDEX:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize(
    ("weights", "assistant", "user", "texts"),
    [
        (IT, "all", "all", ["1<|im_end|>", "2 2<|im_end|>"]),
        (IT, "last", "all", ["2 2<|im_end|>"]),
        (IT, "last", "last", ["2 2<|im_end|>"]),
        (IM, "all", "all", ["Be kind.", "one", "1<|im_end|>", "two", "2 2<|im_end|>"]),
        (IM, "all", "last", ["Be kind.", "1<|im_end|>", "two", "2 2<|im_end|>"]),
        (IM, "last", "all", ["Be kind.", "one", "two", "2 2<|im_end|>"]),
        (IM, "last", "last", ["Be kind.", "two", "2 2<|im_end|>"]),
        (IM | {"system": 0.0}, "last", "last", ["two", "2 2<|im_end|>"]),
    ],
)
def test_what_carries_loss_by_hand(tokenizer, weights, assistant, user, texts):
    row = row_of(tokenizer, talk(*SAID))
    assert learned(tokenizer, row, weights, turns(assistant, user)) == texts


def test_the_first_question_counts_where_no_system_message_stands_before_it(tokenizer):
    row = row_of(tokenizer, talk(*SAID[1:]))
    assert learned(tokenizer, row, IM, turns("last", "all")) == ["one", "two", "2 2<|im_end|>"]


def test_of_two_questions_in_a_row_the_last_is_the_one_that_is_answered():
    asked, answered = SEGMENTS.index("input"), SEGMENTS.index("output")
    row = Row([5, 6, 7], [asked, asked, answered], "task0", turns=[0, 1, 2])
    assert chosen_turns(row, turns("last", "last")) == [False, True, True]


def test_the_templates_own_text_is_of_no_turn(tokenizer):
    row = row_of(tokenizer, talk(*SAID))
    chosen = chosen_turns(row, turns("last", "last"))
    left_out = tokenizer.decode([token for token, is_chosen in zip(row.input_ids, chosen, strict=True) if not is_chosen])
    assert left_out == "one1<|im_end|>"
    assert labels_and_weights(row, ALL, EVERY_TURN) == labels_and_weights(row, ALL)


@pytest.mark.parametrize(("said", "soft"), [(SAID[:3], 0), (SAID[1:3], 0), (SAID[1:3], 3)])
def test_one_pair_is_the_last_pair(tokenizer, said, soft):
    example = talk(*said)
    row = row_of(tokenizer, example, soft_tokens=soft, wording="Say it")
    assert labels_and_weights(row, IM, turns("last", "last")) == labels_and_weights(row, IM)


def test_of_a_row_that_was_cut_the_last_turn_that_is_left_is_learned(tokenizer):
    whole = row_of(tokenizer, talk(*SAID))
    row = row_of(tokenizer, talk(*SAID), max_tokens=len(whole.input_ids) - 1)
    assert row.truncated == ("turns",)
    assert learned(tokenizer, row, IM, turns("last", "last")) == ["Be kind.", "one", "1<|im_end|>"]


@pytest.mark.parametrize(("assistant", "outputs"), [("all", 6), ("last", 4)])  # 1 <end>; 2, space, 2, <end>: digits alone
def test_an_output_denominator_counts_the_answers_that_carry_loss(tokenizer, assistant, outputs):
    prompt = Prompt(template="chat", instruction_position="before", wording="any", exemplars=0, **LIMITS)
    builder = RowBuilder(
        {TASK.task_id: TASK},
        tokenizer,
        load_template("chat", tokenizer),
        prompt,
        weights=IM,
        turns=turns(assistant, "last"),
        normalize_by="output_tokens",
        seed=0,
    )
    row = row_of(tokenizer, talk(*SAID))
    _, values = labels_and_weights(row, IT, turns(assistant, "last"))
    assert builder.build(talk(*SAID), Counts()).share == sum(values)
    characters = train_tokenizer(["a"], vocab_size=200)  # no merge: a token is a byte
    row = row_of(characters, talk(*SAID))
    assert sum(labels_and_weights(row, IT, turns(assistant, "last"))[1]) == outputs


@pytest.mark.parametrize("changed", [{"assistant": "first"}, {"user": None}, {"mask_history": True}])
def test_other_choices_are_refused(changed):
    with pytest.raises(ValidationError):
        LossTurns(**({"assistant": "all", "user": "all"} | changed))
