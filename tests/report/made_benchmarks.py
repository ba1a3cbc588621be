"""What the benchmark stage leaves, made."""

from __future__ import annotations

from typing import Any


def benchmarked(right: float) -> dict[str, Any]:
    """results.json of the benchmark stage: a task of two metrics, and one in a group."""
    accuracy = {"value": right, "stderr": 0.0125, "higher_is_better": True}
    error_rate = {"value": 91.5, "stderr": None, "higher_is_better": False}
    said = {"n": 10, "of": 1000, "shots": 3, "cut": 2, "empty": 0, "version": 1.0}
    means = {"mean": 100 * right, "mean_as_published": None}
    return {
        "tasks": {
            "qa": said | {"metrics": {"acc,none": accuracy, "ter,none": error_rate}},
            "qa_german": said | {"of": 10, "cut": 0, "metrics": {"exact_match,strict-match": accuracy}},
        },
        "groups": {"qa_all": {"tasks": ["qa", "qa_german"], "metrics": {"acc,none": accuracy | {"stderr": None}}}},
        "im_nlp": {"groups": {"safety": {"values": {"qa": 100 * right}} | means}} | means,
    }
