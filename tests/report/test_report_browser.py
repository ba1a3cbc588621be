import json
from dataclasses import replace

import pytest

from instune.report.browser import FEW_TASKS, OUTCOMES, SHOWN_TEXT, embedded, entry, few, first_of_each, outcomes, shown, view
from instune.report.inputs import Pair
from tests.report.made import predictions


@pytest.fixture
def pairs():
    return [Pair(base, tuned) for base, tuned in zip(predictions("base"), predictions("tuned"), strict=True)]


def of_tasks(pairs, count):
    """The first task's examples under so many names."""
    names = [f"task{number:02}" for number in range(count)]
    return [Pair(replace(pair.base, task_id=name), replace(pair.tuned, task_id=name)) for name in names for pair in pairs[:4]]


def test_a_text_is_cut_at_its_limit_and_what_is_missing_is_counted():
    assert shown("a" * SHOWN_TEXT) == {"text": "a" * SHOWN_TEXT, "more": 0}
    assert shown("a" * (SHOWN_TEXT + 3)) == {"text": "a" * SHOWN_TEXT, "more": 3}
    assert shown("\ud83d!") == {"text": "?!", "more": 0}


def test_nothing_in_the_data_can_end_its_script_element_and_all_of_it_comes_back():
    value = ["</script>", "<!--", "<script>", "\u2028 & é \U0001f34e"]
    assert "<" not in embedded(value)
    assert json.loads(embedded(value)) == value


def test_an_entry_holds_both_answers_with_their_marks(pairs):
    made = entry(pairs[0])
    assert (made["task"], made["example"], made["outcome"]) == ("task01_colour", "task01_colour-0", "only tuned is right")
    assert made["tuned"] == {"text": "red", "more": 0, "right": True, "cut": False, "choice": None, "nll": "1.00"}
    assert (made["base"]["right"], made["base"]["cut"], made["base"]["nll"]) == (False, True, "2.90")
    assert made["references"] == [{"text": "red", "more": 0}]


def test_right_is_judged_on_the_whole_answer_not_on_what_is_shown(pairs):
    long = "word " * SHOWN_TEXT
    row = replace(pairs[0].base, output=long + "a", references=[long + "b"])
    assert entry(Pair(row, row))["outcome"] == OUTCOMES[False, False]


def test_the_likeliest_choice_is_the_one_of_highest_log_likelihood(pairs):
    row = replace(pairs[0].base, choices=["yes", "no", "maybe"], choice_loglikelihoods=[-3.0, -1.0, -2.0], references=["no"])
    assert entry(Pair(row, row))["base"]["choice"] == {"text": "no", "more": 0, "right": True}
    wrong = replace(row, references=["yes"])
    assert entry(Pair(wrong, wrong))["base"]["choice"] == {"text": "no", "more": 0, "right": False}


def test_outcomes_count_every_example(pairs):
    swapped = [Pair(pair.tuned, pair.base) for pair in pairs[:4]]
    both = [Pair(pair.tuned, pair.tuned) for pair in pairs[:3]]
    counts = {"only tuned is right": 6, "only base is right": 2, "both are right": 2, "both are wrong": 9}
    assert outcomes([*pairs, *swapped, *both]) == counts


def test_the_page_takes_equally_many_first_examples_of_each_task_within_its_room(pairs):
    many = of_tasks(pairs, 5)
    size = sum(len(text) for text in (pairs[0].base.prompt, pairs[0].base.output, pairs[0].tuned.output, "red"))
    assert first_of_each(many, 10**6) == many
    kept = first_of_each(many, 5 * 2 * size + 400)
    assert [pair.base.example_id for pair in kept] == ["task01_colour-0", "task01_colour-1"] * 5
    assert [pair.base.example_id for pair in first_of_each(many, 0)] == ["task01_colour-0"] * 5
    assert [pair.base.place for pair in kept] == sorted(pair.base.place for pair in kept)


def test_long_texts_cost_no_more_room_than_is_shown_of_them(pairs):
    long = [Pair(replace(pair.base, output="x" * 10**6), pair.tuned) for pair in pairs]
    assert len(first_of_each(long, len(long) * (SHOWN_TEXT + 500))) == len(long)


def test_the_table_without_script_holds_three_examples_of_the_first_tasks(pairs):
    found = few(of_tasks(pairs, FEW_TASKS + 3))
    assert list(found) == [f"task{number:02}" for number in range(FEW_TASKS)]
    assert {len(examples) for examples in found.values()} == {3}
    assert view(of_tasks(pairs, FEW_TASKS + 3))["more_tasks"] == 3


def test_equal_answers_are_counted(pairs):
    same = [Pair(pair.base, pair.base) for pair in pairs[:5]]
    assert view([*pairs, *same])["same"] == 5 + sum(pair.base.output == pair.tuned.output for pair in pairs)
