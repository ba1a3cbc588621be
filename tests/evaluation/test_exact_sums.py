"""Means are of exact sums: Python adds floats up in another way since 3.12, and a score must not tell them apart."""

from __future__ import annotations

from instune.evaluation.predictions import Prediction
from instune.evaluation.scores import score_model

LARGE = 2.0**53  # the next float is two more


def prediction(task: str, example: str, nll: float) -> Prediction:
    return Prediction(task, example, "?", "0", "a", ["a"], None, None, nll, 1, 1, 1, "stop", "m", [], False)


def test_small_summands_behind_a_large_one_count_within_a_task():
    scored = score_model([prediction("t", str(number), nll) for number, nll in enumerate([LARGE, 1.0, 1.0, 0.0])])
    assert scored.tasks["nll"]["t"] == (LARGE + 2) / 4


def test_small_summands_behind_a_large_one_count_over_tasks():
    scored = score_model([prediction(f"t{number}", "0", nll) for number, nll in enumerate([LARGE, 1.0, 1.0, 0.0])])
    assert scored.official["nll"] == (LARGE + 2) / 4
