"""The data card against counts made by hand."""

from __future__ import annotations

from pathlib import Path

from instune.pools.data_card import DataCard
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Message, Task

TASK = Task("t", "p", "c", "two words", ("two words", "three words here"))
CHAT = (
    Message("system", "s"),
    Message("user", "a b"),
    Message("assistant", "c"),
    Message("user", ""),
    Message("assistant", "d e"),
)


def counted(example, task=TASK):
    card = DataCard()
    card.add(task, [example])
    return card


def test_words_are_counted_per_message_with_one_for_the_role():
    assert counted(Example("t", "1", "a b  c\n", ("x", "longer y z"))).sides == [2 + 3 + 1, 1 + 1]
    assert counted(Example("t", "2", "", ("x y",), wording_index=1)).sides == [3 + 1, 2 + 1]
    card = counted(Example("t", "3", "", ("d e",), messages=CHAT))
    assert card.sides == [2 + 3 + 1, 2 + 3]
    assert {part: list(words) for part, words in card.words.items() if words} == {"system_and_user": [3], "assistant": [3]}


def test_a_pool_of_conversations_has_two_parts():
    summary = counted(Example("t", "3", "", ("d e",), messages=CHAT)).summary(Problems(Path("raw/p"), strict=True), {})
    assert summary["words"] == {"system_and_user": {"mean": 3.0, "p95": 3.0}, "assistant": {"mean": 3.0, "p95": 3.0}}
    assert summary["examples"] == 1


def test_the_ratio_is_one_of_means_and_not_a_mean_of_ratios():
    card = DataCard()
    card.add(TASK, [Example("t", "1", "a", ("x",)), Example("t", "2", "a b c d e f", ("x y z",))])
    problems = Problems(Path("raw/p"), strict=False)
    problems.bad(BadRecord("input: missing"), "file: line 2")
    summary = card.summary(problems, {"reader": "plain"})
    assert summary["instruction_output_ratio"] == round((4 + 9) / (2 + 4), 4)
    assert summary["words"] == {
        "instruction": {"mean": 2.0, "p95": 2.0},
        "input": {"mean": 3.5, "p95": 5.8},
        "output": {"mean": 2.0, "p95": 2.9},
    }
    assert summary["settings"] == {"reader": "plain"}
    assert (summary["tasks"], summary["examples"], summary["categories"]) == (1, 2, {"c": 1})
    assert (summary["skipped"], summary["first_skipped"]) == ({"input: missing": 1}, {"input: missing": "file: line 2"})
