import json
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from instune.evaluation import metrics
from instune.evaluation.metrics import (
    FIXED_METRICS,
    RANK_METRICS,
    TEXT_METRICS,
    common_subsequence,
    exact_match,
    fixed_exact_match,
    fixed_rouge_l,
    needs_mending,
    normalize,
    rank_accuracy,
    rouge_l,
    words_of,
)

GOLDEN = json.loads((Path(__file__).parent / "tk_instruct_golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['prediction']!a}~{case['references']!a}")
def test_metrics_equal_those_of_tk_instruct(case):
    assert exact_match(case["prediction"], case["references"]) == case["exact_match"]
    assert rouge_l(case["prediction"], case["references"]) == pytest.approx(case["rouge_l"], abs=5e-5)


def test_means_equal_those_that_tk_instruct_prints():
    cases = GOLDEN["cases"]
    matches = sum(exact_match(case["prediction"], case["references"]) for case in cases)
    overlaps = sum(rouge_l(case["prediction"], case["references"]) for case in cases)
    assert round(100 * matches / len(cases), 4) == GOLDEN["mean"]["exact_match"]
    assert round(100 * overlaps / len(cases), 4) == GOLDEN["mean"]["rougeL"]


def test_punctuation_alone_matches_and_non_latin_text_has_no_overlap_with_itself():
    assert exact_match("-", ["+"]) == 1
    assert exact_match("", [""]) == 1
    assert rouge_l("", [""]) == 0
    assert rouge_l("北京", ["北京"]) == 0
    assert exact_match("北京", ["北京"]) == 1


def test_texts_and_words_by_hand():
    assert normalize(" The  CAT,\tsat. ") == "the cat sat"
    assert words_of("Was his cats' x-ray") == ["was", "his", "cat", "x", "ray"]  # up to three letters as they stand


def test_metrics_are_known_by_name():
    assert {"exact_match": exact_match, "rouge_l": rouge_l} == TEXT_METRICS
    assert {"exact_match": fixed_exact_match, "rouge_l": fixed_rouge_l} == FIXED_METRICS


def test_rouge_by_hand():
    # the longest common subsequence of "a b c d" and "b x d" is "b d": precision 2/4, recall 2/3
    assert rouge_l("aa bb cc dd", ["bb xx dd"]) == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))


WORDS = st.lists(st.sampled_from(["the", "cats", "cat", "sat", "sitting", "Ä", "7", "x-y", ""]), max_size=90).map(" ".join)


ASCII = st.text(st.characters(max_codepoint=126, min_codepoint=9), max_size=30).map(lambda text: f"{text} word")


@settings(max_examples=300, deadline=None)
@given(
    prediction=st.one_of(WORDS, st.text(max_size=40)),
    references=st.lists(st.one_of(WORDS, st.text(max_size=40)), min_size=1, max_size=3),
)
def test_rouge_l_equals_that_of_rouge_score(prediction, references):
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    assert rouge_l(prediction, references) == max(scorer.score(text, prediction)["rougeL"].fmeasure for text in references)


def slow_common_subsequence(first, second):
    """The table of all pairs, row by row."""
    row = [0] * (len(second) + 1)
    for word in first:
        last = row
        row = [0]
        for place, other in enumerate(second):
            row.append(last[place] + 1 if word == other else max(last[place + 1], row[place]))
    return row[-1]


@settings(max_examples=300, deadline=None)
@given(first=st.lists(st.sampled_from("abcde"), max_size=40), second=st.lists(st.sampled_from("abcdef"), max_size=40))
def test_common_subsequence_in_blocks_equals_the_table_of_all_pairs(first, second):
    wanted = slow_common_subsequence(first, second)
    assert common_subsequence(first, second) == wanted
    for width in (1, 2, 3):  # carries from block to block, and a last block that is not full
        with patch.object(metrics, "BLOCK", width):
            assert common_subsequence(first, second) == wanted


def test_two_long_texts_are_compared_whole_in_bounded_memory():
    words = [f"w{number}" for number in range(40_000)]
    moved = [*words[20_000:], *words[:20_000]]
    tracemalloc.start()
    assert common_subsequence(words, moved) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # bits for each word of the whole text would be 100 MB, and grow with its square


def test_an_output_of_ten_megabytes_is_scored():
    output = "the red cat sat\n" * 650_000
    assert exact_match(output, ["cat"]) == 0
    common = 500  # every "cat" of the reference, in order; 2,600,000 words against 1,000
    assert rouge_l(output, ["a cat " * 500]) == pytest.approx(2 * common / (2_600_000 + 1_000))


def test_the_memory_of_stems_is_bounded_and_emptied_when_full():
    with patch.object(metrics, "MOST_STEMS", 3):
        stems = metrics._Stems()
        assert [stems[word] for word in ("running", "the", "dogs", "cats", "running")] == ["run", "the", "dog", "cat", "run"]
        assert sorted(stems) == ["cats", "running"]


def test_at_most_131072_stems_are_kept():
    stems = metrics._Stems()
    assert [stems[chr(number)] for number in range(2**17)] == [chr(number) for number in range(2**17)]
    assert len(stems) == 2**17
    assert stems["more"] == "more"
    assert len(stems) == 1


@pytest.mark.parametrize(
    ("name", "right"),
    # sums -4, -4.4, -6.2; per character -4, -0.88, -0.886; per byte -4, -0.88, -0.69
    [("accuracy", "a"), ("accuracy_per_character", "bbbbb"), ("accuracy_per_byte", "ééccccc")],
)
def test_rank_classification_by_hand(name, right):
    choices, values = ["a", "bbbbb", "ééccccc"], [-4.0, -4.4, -6.2]
    for choice in choices:
        assert rank_accuracy(choices, values, [choice], RANK_METRICS[name]) == (choice == right)


def test_choices_match_references_without_outer_white_space_and_ties_go_to_the_first():
    assert rank_accuracy([" yes", "no"], [-1.0, -1.0], ["yes "], RANK_METRICS["accuracy"]) == 1
    assert rank_accuracy(["no", "yes"], [-1.0, -1.0], ["yes"], RANK_METRICS["accuracy"]) == 0


def test_half_a_surrogate_is_three_bytes():
    assert RANK_METRICS["accuracy_per_byte"]("a\ud800") == 4


def test_an_empty_choice_has_length_one():
    assert rank_accuracy(["", "yes"], [-1.0, -6.0], [""], RANK_METRICS["accuracy_per_character"]) == 1
    assert rank_accuracy(["", "no"], [-1.5, -2.0], ["no"], RANK_METRICS["accuracy_per_character"]) == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "match", "overlap"),
    [
        ("-", "+", 0, 0),
        ("-", "-", 1, 1),
        ("", "", 1, 1),
        ("", "yes", 0, 0),
        ("北京", "北京", 1, 1),
        ("北京", "上海", 0, 0),
        ("北京市", "北京", 0, 0.8),  # two of three characters, two of two
        ("Москва", "москва!", 1, 1),
        ("नमस्ते", "नमस्ते", 1, 1),
        ("Cristo\u0301bal esta\u0301", "Cristóbal está", 1, 1),  # decomposed against composed
        ("Cristobal esta", "Cristóbal está", 0, 0),
        ("“yes”", "yes", 0, 1),
        ("x²", "x2", 0, 0),  # equal by compatibility only
        ("straße", "STRASSE", 0, 0),  # equal in capitals only
        ("कि", "क", 0, 0),  # a vowel sign belongs to its word
        ("the cat sits 北京", "cats sit", 0, 2 * (2 / 5) * 1 / (2 / 5 + 1)),
    ],
)
def test_mended_metrics_by_hand(prediction, reference, match, overlap):
    assert fixed_exact_match(prediction, [reference]) == match
    assert fixed_rouge_l(prediction, [reference]) == pytest.approx(overlap)


@given(prediction=ASCII, references=st.lists(ASCII, min_size=1, max_size=3))
def test_mended_metrics_change_nothing_in_ascii_texts_with_words(prediction, references):
    assert not needs_mending(prediction, references)
    assert fixed_exact_match(prediction, references) == exact_match(prediction, references)
    assert fixed_rouge_l(prediction, references) == rouge_l(prediction, references)


@pytest.mark.parametrize("text", ["café", "naïve 7", "-", "", " "])
def test_texts_beyond_ascii_or_without_a_word_need_mending_on_either_side(text):
    assert needs_mending(text, ["word"])
    assert needs_mending("word", ["word", text])


def test_ascii_texts_with_a_word_need_no_mending():
    assert not needs_mending("YES", ["no", "7", "x-y"])


def test_best_reference_counts_not_the_first():
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    wanted = max(scorer.score(reference, "the cats sat")["rougeL"].fmeasure for reference in ("a dog", "cat sat here"))
    assert rouge_l("the cats sat", ["a dog", "cat sat here"]) == wanted > 0
