"""The data card against counts made by hand."""

from __future__ import annotations

from pathlib import Path

from instune.pools.data_card import DataCard, message_words
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Message, Task

TASK = Task("t", "p", "c", "two words", ("two words", "three words here"))


def test_words_are_counted_per_message_with_one_for_the_role():
    single = Example("t", "1", "a b  c\n", ("x", "longer y z"))
    assert message_words(TASK, single) == (2 + 3 + 1, 1 + 1)
    other_wording = Example("t", "2", "", ("x y",), wording_index=1)
    assert message_words(TASK, other_wording) == (3 + 1, 2 + 1)
    messages = (
        Message("system", "s"),
        Message("user", "a b"),
        Message("assistant", "c"),
        Message("user", ""),
        Message("assistant", "d e"),
    )
    chat = Example("t", "3", "", ("d e",), messages=messages)
    assert message_words(TASK, chat) == (2 + 3 + 1, 2 + 3)


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
