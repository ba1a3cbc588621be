import csv
import io
from dataclasses import replace
from unittest.mock import patch

import pytest
from makers import make_task

from instune.errors import InputError
from instune.evaluation.floors import questions_of
from instune.evaluation.metrics import TEXT_METRICS
from instune.evaluation.predictions import Prediction
from instune.evaluation.scores import all_scores, scores_table
from instune.records import Example

TASKS = {f"task{number}": make_task(number, category=name) for number, name in enumerate(("colour", "colour", "shape"))}


def row(task: str, example: str, output: str, reference: str, nll: float, tokens: int) -> Prediction:
    return Prediction(task, example, "?", "0", output, [reference], None, None, nll, tokens, 1, 1, "stop", "m", [], False)


BASE = [
    row("task0", "a", "red", "red", 2.0, 1),
    row("task0", "b", "red", "blue", 4.0, 2),
    row("task0", "c", "red", "green", 3.0, 3),
    row("task1", "d", "red", "blue", 8.0, 2),
    row("task2", "e", "square", "a square", 1.0, 4),
]
POOL = [Example(item.task_id, item.example_id, item.references[0], tuple(item.references)) for item in BASE]
QUESTIONS = questions_of(POOL, {item.place for item in BASE})


@pytest.fixture
def scores():
    tuned = [replace(item, output=item.references[0], finish="length") for item in BASE]
    return all_scores({"base": BASE, "tuned": tuned}, TASKS, QUESTIONS, confidence=0.95)


def test_task_means_and_the_mean_over_tasks_by_hand(scores):
    base = scores["models"]["base"]
    assert base["tasks"]["task0"] == {
        "category": "colour",
        "examples": 3,
        "exact_match": pytest.approx(1 / 3),
        "rouge_l": pytest.approx(1 / 3),
        "nll": pytest.approx(9 / 6),
    }
    assert base["overall"]["exact_match"]["mean"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert base["overall"]["nll"]["mean"] == pytest.approx((1.5 + 4 + 0.25) / 3)
    assert base["categories"]["colour"]["exact_match"] == {
        "mean": pytest.approx(1 / 6),
        "low": pytest.approx(1 / 6 - 12.7062 / 6, abs=1e-4),  # t quantile of one degree of freedom
        "high": pytest.approx(1 / 6 + 12.7062 / 6, abs=1e-4),
        "tasks": 2,
    }
    assert (base["categories"]["colour"]["tasks"], base["categories"]["colour"]["examples"]) == (2, 4)
    assert base["categories"]["colour"]["official"]["exact_match"] == pytest.approx(1 / 4)  # over examples, not tasks
    assert base["categories"]["shape"]["exact_match"]["low"] is None


def test_official_mean_is_over_examples_where_tasks_differ_in_size(scores):
    assert scores["models"]["base"]["official"]["exact_match"] == pytest.approx(1 / 5)
    assert scores["models"]["base"]["official"]["nll"] == pytest.approx(18 / 12)


def test_differences_and_floors_are_of_the_same_scoring(scores):
    assert scores["models"]["tuned"]["overall"]["exact_match"]["mean"] == 1
    assert scores["floors"]["copied_input"]["overall"]["exact_match"]["mean"] == 1
    assert scores["differences"]["tuned-copied_input"]["rouge_l"] == {"mean": 0, "low": 0, "high": 0, "tasks": 3}
    assert scores["differences"]["tuned-base"]["exact_match"]["mean"] == pytest.approx(1 - 1 / 9)
    assert scores["differences"]["tuned-base"]["nll"]["mean"] == 0
    assert "nll" not in scores["differences"]["tuned-majority"]


def test_counts_stand_beside_the_scores(scores):
    assert (scores["examples"], scores["tasks_scored"]) == (5, 3)
    assert scores["finish"] == {"base": {"stop": 5}, "tuned": {"length": 5}}


def test_a_floor_without_any_answer_is_left_out():
    bare = {name: replace(task, positive_examples=()) for name, task in TASKS.items()}
    scores = all_scores({"base": BASE, "tuned": BASE}, bare, QUESTIONS, confidence=0.95)
    assert set(scores["floors"]) == {"majority", "copied_input"}
    assert "tuned-copied_demonstration" not in scores["differences"]


def test_a_value_that_is_not_finite_names_its_example():
    broken = [replace(BASE[0], nll=float("nan")), *BASE[1:]]
    with pytest.raises(InputError, match="task0, example a: a score is nan"):
        all_scores({"base": broken, "tuned": BASE}, TASKS, QUESTIONS, confidence=0.95)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_choice_without_a_finite_likelihood_names_its_example(value):
    broken = [BASE[0], replace(BASE[1], choices=["red", "blue"], choice_loglikelihoods=[-1.0, value]), *BASE[2:]]
    with pytest.raises(InputError, match="task0, example b: the log-likelihood of a choice is"):
        all_scores({"base": BASE, "tuned": broken}, TASKS, QUESTIONS, confidence=0.95)


def test_a_metric_that_is_not_a_number_names_its_example():
    broken = {"exact_match": lambda prediction, references: float("nan") if references == ["green"] else 1.0}
    with patch.dict(TEXT_METRICS, broken), pytest.raises(InputError, match="task0, example c: a score is nan"):
        all_scores({"base": BASE, "tuned": BASE}, TASKS, QUESTIONS, confidence=0.95)


def test_a_model_that_says_nothing_scores_zero():
    silent = [replace(item, output="" if item.task_id == "task0" else " \n") for item in BASE]
    scores = all_scores({"base": BASE, "tuned": silent}, TASKS, QUESTIONS, confidence=0.95)
    assert {scores["models"]["tuned"]["overall"][metric]["mean"] for metric in TEXT_METRICS} == {0}


def test_mended_metrics_stand_beside_with_the_number_of_changed_examples():
    chinese = [replace(item, references=["北京"], output="北京") if item.task_id == "task1" else item for item in BASE]
    base = all_scores({"base": chinese, "tuned": BASE}, TASKS, QUESTIONS, confidence=0.95)["models"]["base"]
    assert base["overall"]["rouge_l"]["mean"] == pytest.approx((1 / 3 + 0 + 2 / 3) / 3)
    assert base["fixed"] == {
        "exact_match": pytest.approx((1 / 3 + 1 + 0) / 3),
        "rouge_l": pytest.approx((1 / 3 + 1 + 2 / 3) / 3),
        "changed": 1,
    }


def test_rank_classification_is_scored_on_the_tasks_that_have_choices_alone():
    choice = {"choices": ["red", "a very dark blue"], "choice_loglikelihoods": [-2.0, -4.0]}
    ranked = [replace(item, **choice) if item.task_id == "task0" else item for item in BASE]
    scores = all_scores({"base": ranked, "tuned": ranked}, TASKS, QUESTIONS, confidence=0.95)
    base = scores["models"]["base"]
    assert base["overall"]["accuracy"] == {"mean": pytest.approx(1 / 3), "low": None, "high": None, "tasks": 1}
    assert base["tasks"]["task0"]["accuracy_per_character"] == 0
    assert "accuracy" not in base["tasks"]["task1"]
    assert "accuracy" not in base["categories"]["shape"]
    assert base["overall"]["exact_match"]["tasks"] == 3


def test_table_holds_every_mean_once(scores):
    rows = list(csv.DictReader(io.StringIO(scores_table(scores))))
    assert len(rows) == 5 * (1 + 2 + 3)
    overall = next(item for item in rows if item["model"] == "base" and item["level"] == "overall")
    assert float(overall["nll"]) == scores["models"]["base"]["overall"]["nll"]["mean"]
    assert {item["nll"] for item in rows if item["model"] == "majority"} == {""}
