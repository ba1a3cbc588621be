"""Conversations in their four forms, and the lengths that the IM paper publishes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import chat
from instune.pools.data_card import DataCard
from instune.pools.problems import BadRecord, Problems
from instune.records import Message

PUBLISHED = Path("../shared/data/instruction_chat")
ASK, ANSWER = " 你好\r\n\u0000 NaN ", "👍 e\u0301\n"


def example_of(row, problems=None):
    return chat.example_of(row, "p:t", "file: line 4", problems or Problems(Path(), strict=True))


def roles(*turns):
    return {"messages": [{"role": role, "content": str(number)} for number, role in enumerate(turns)]}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]},
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ANSWER}]},
        {"conversations": [ASK, ANSWER], "source": "stackexchange"},
        {"instruction": ASK, "input": "", "output": ANSWER},
        {"prompt": ASK, "completion": ANSWER},
        {"messages": None, "conversations": None, "instruction": None, "prompt": ASK, "completion": ANSWER, "id": None},
    ],
)
def test_every_form_keeps_the_text_as_it_is(row):
    example = example_of(row)
    assert example.messages == (Message("user", ASK), Message("assistant", ANSWER))
    assert (example.input, example.references, example.example_id) == (ASK, (ANSWER,), "p:t#line 4")


def test_an_alpaca_row_with_input_joins_both_in_one_message():
    [user, _] = chat.conversation({"instruction": "Add.", "input": " 1 2", "output": "3"})
    assert user.content == "Add.\n\n 1 2"


def test_the_last_exchange_is_input_and_reference():
    example = example_of(roles("system", "user", "assistant", "user", "assistant") | {"id": "x"})
    assert (example.input, example.references, len(example.messages)) == ("3", ("4",), 5)
    assert example.example_id == "p:t:x"


def test_a_last_message_without_an_answer_is_cut_and_counted():
    problems = Problems(Path(), strict=True)
    assert [message.content for message in example_of(roles("user", "assistant", "user"), problems).messages] == ["0", "1"]
    assert problems.counts == {"last user message of a conversation, without an answer": 1}


def test_an_id_is_text_or_a_whole_number_and_never_a_position():
    assert example_of(roles("user", "assistant") | {"id": 7}).example_id == "p:t:7"
    assert example_of(roles("user", "assistant") | {"id": "line 4"}).example_id == "p:t:line 4"
    for wrong in (1.5, True, ["x"]):
        with pytest.raises(BadRecord, match="id: expected text or a whole number"):
            example_of(roles("user", "assistant") | {"id": wrong})


def named(folder, *files, strict=False):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"prompt": name, "completion": "x"}) + "\n")
    problems = Problems(folder, strict=strict)
    return {task.task_id: len(examples) for task, examples in chat.read(folder, pool="p", problems=problems)}, problems


def test_a_file_is_named_by_its_place_without_the_ends_of_its_name(tmp_path):
    found, problems = named(tmp_path, "a/train.jsonl", "b/train.jsonl", "alpaca.v1.jsonl", "alpaca.v2.jsonl", "C.JSONL")
    assert found == dict.fromkeys(["p:a:train", "p:b:train", "p:alpaca.v1", "p:alpaca.v2", "p:C"], 1)
    assert problems.counts == {}


def test_a_second_file_of_the_same_name_is_left_out_row_by_row(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,completion\nx,y\nx,z\n")
    (tmp_path / "a.jsonl").write_text('{"prompt": "x", "completion": "y"}\n' * 3)
    found, problems = named(tmp_path)
    assert (found, list(problems.counts.values()), list(problems.first.values())) == ({"p:a": 2}, [3], ["a.jsonl: line 1"])
    with pytest.raises(InputError, match=r"a\.jsonl: line 1: file name.* Found: 'a\.csv'"):
        named(tmp_path, strict=True)


@pytest.mark.parametrize(
    "row",
    [
        roles("assistant", "user"),
        roles("user"),
        roles("user", "user", "assistant"),
        roles("user", "assistant", "system"),
        roles("system"),
        roles("user", "tool"),
        {"messages": []},
        {"messages": "hello"},
        {"conversations": ["a question alone"]},
        {"conversations": 3},
        {"conversations": ["a", None]},
        {"messages": None},
        {"messages": [{"role": "user"}]},
        {"text": "hello"},
        {"prompt": "a", "completion": None},
    ],
)
def test_a_row_that_is_no_conversation_is_refused(row):
    with pytest.raises(BadRecord):
        chat.conversation(row)


def test_a_large_file_comes_in_parts_of_one_task(tmp_path, monkeypatch):
    monkeypatch.setattr(chat, "PART_SIZE", 2)
    lines = [json.dumps({"prompt": str(number), "completion": "x"}) for number in range(5)]
    (tmp_path / "small.set.jsonl").write_text("\n".join([*lines, "{broken"]))
    with pytest.raises(InputError, match=r"small\.set\.jsonl: line 6: not valid JSON"):
        list(chat.read(tmp_path, pool="p", problems=Problems(tmp_path, strict=True)))
    parts = list(chat.read(tmp_path, pool="p", problems=Problems(tmp_path, strict=False)))
    assert {task.task_id for task, _ in parts} == {"p:small.set"}
    assert [[example.input for example in examples] for _, examples in parts] == [["0", "1"], ["2", "3"], ["4"]]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"{PUBLISHED} is absent")
@pytest.mark.parametrize(
    ("name", "size", "ratio"),  # Table 5 of arXiv 2405.14394
    [
        ("lima_messages", 1_030, 0.0942),
        ("alpagasus_dolly_3k_messages", 2_996, 0.6439),
        ("alpagasus_claude_t45_messages", 5_305, 0.5672),
    ],
)
def test_published_lengths_come_out_to_the_last_digit(tmp_path, name, size, ratio):
    source = PUBLISHED / f"{name}.jsonl.gz"
    (tmp_path / source.name).symlink_to(source.resolve())
    problems, card = Problems(tmp_path, strict=True), DataCard()
    with gzip.open(source) as file:
        originals = [json.loads(line)["messages"] for line in file]
    for task, examples in chat.read(tmp_path, pool="p", problems=problems):
        card.add(task, examples)
        found = [[{"role": m.role, "content": m.content} for m in example.messages] for example in examples]
    assert found == originals
    summary = card.summary(problems, {})
    assert (summary["examples"], summary["instruction_output_ratio"]) == (size, ratio)
