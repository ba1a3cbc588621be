import pytest

from instune.report.numbers import direction, floor_sentence, interval, number, verdict
from tests.report.made import scores


def score(mean, low, high):
    return {"mean": mean, "low": low, "high": high, "tasks": 3}


def with_difference(metric, mean, low, high, other="base"):
    made = scores()
    made["differences"][f"tuned-{other}"][metric] = score(mean, low, high)
    return made


@pytest.mark.parametrize(
    ("metric", "value", "signed", "said"),
    [
        ("exact_match", 0.354, False, "35.4"),
        ("exact_match", 0.354, True, "+35.4"),
        ("rouge_l", -0.0149, False, "−1.5"),
        ("rouge_l", -0.0001, True, "0.0"),
        ("nll", 2.158, False, "2.16"),
        ("nll", -0.7, True, "−0.70"),
        ("exact_match", None, True, "–"),
        ("exact_match", 1.0, False, "100.0"),
    ],
)
def test_a_score_is_said_in_points_and_nll_in_nats(metric, value, signed, said):
    assert number(metric, value, signed=signed) == said


def test_an_interval_stands_in_brackets_and_is_left_away_where_there_is_none():
    assert interval("rouge_l", score(0.354, 0.305, 0.403)) == "35.4 [30.5, 40.3]"
    assert interval("rouge_l", score(0.354, None, None)) == "35.4"


@pytest.mark.parametrize(
    ("metric", "low", "high", "way"),
    [
        ("exact_match", 0.01, 0.3, "better"),
        ("exact_match", -0.3, -0.01, "worse"),
        ("exact_match", -0.01, 0.3, "unclear"),
        ("exact_match", 0.0, 0.3, "unclear"),
        ("exact_match", None, None, "unclear"),
        ("nll", -0.3, -0.01, "better"),
        ("nll", 0.01, 0.3, "worse"),
    ],
)
def test_only_an_interval_beside_zero_is_a_difference_and_a_lower_nll_is_better(metric, low, high, way):
    assert direction(metric, score(0.1, low, high)) == way


def test_the_verdict_says_what_rose_what_fell_and_what_cannot_be_shown():
    rose = verdict(with_difference("exact_match", 0.45, 0.33, 0.57), "exact_match")
    assert rose == "Tuning raised exact match: +45.0 points [33.0, 57.0], from 5.0 to 50.0."
    fell = verdict(with_difference("exact_match", -0.2, -0.3, -0.1), "exact_match")
    assert fell == "Tuning lowered exact match: −20.0 points [−30.0, −10.0], from 5.0 to 50.0."
    unclear = verdict(with_difference("exact_match", 0.012, -0.03, 0.054), "exact_match")
    assert unclear == "No difference shown in exact match: +1.2 points [−3.0, 5.4], from 5.0 to 50.0."
    assert "points" not in verdict(scores(), "nll")


def test_the_best_floor_is_named_with_its_paired_difference():
    for low, high, said in ((0.1, 0.3, "beats"), (-0.3, -0.1, "stays below"), (-0.1, 0.1, "is not shown to differ from")):
        sentence = floor_sentence(with_difference("exact_match", 0.2, low, high, other="majority"), "exact_match")
        assert sentence.startswith(f"The tuned model {said} the best floor, majority output (18.3): +20.0 points [")


def test_without_any_floor_that_is_said():
    made = scores() | {"floors": {}}
    assert floor_sentence(made, "exact_match") == "No floor was scored in exact match."
    assert floor_sentence(scores(), "nll") == "No floor was scored in NLL per reference token."
