"""How numbers, intervals and the verdict are said on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = {
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "nll": "NLL per reference token",
    "accuracy": "choice accuracy",
    "accuracy_per_character": "choice accuracy, likelihood per character",
    "accuracy_per_byte": "choice accuracy, likelihood per byte",
}
FLOORS = {"majority": "majority output", "copied_input": "copied input", "copied_demonstration": "copied demonstration"}


def sentence(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def number(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A score as printed: points with one decimal for shares, two decimals for NLL, a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:+.2f}" if metric == "nll" else f"{100 * value:+.1f}"
    text = text[1:] if float(text) == 0 or (text[0] == "+" and not signed) else text
    return text.replace("-", "−")


def interval(metric: str, score: Mapping[str, Any], *, signed: bool = False, unit: str = "") -> str:
    """A mean with its interval, `35.4 [30.5, 40.3]`, or the mean alone where one task gives no interval."""
    mean = number(metric, score["mean"], signed=signed) + unit
    if score["low"] is None or score["high"] is None:
        return mean
    return f"{mean} [{number(metric, score['low'])}, {number(metric, score['high'])}]"


def direction(metric: str, difference: Mapping[str, Any]) -> str:
    """`better`, `worse`, or `unclear` where the interval holds 0 or there is none. A lower NLL is better."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or low <= 0 <= high:
        return "unclear"
    return "better" if (low > 0) != (metric == "nll") else "worse"


def metrics_of(scores: Mapping[str, Any]) -> list[str]:
    """The metrics that both models have, in the page's order."""
    return [metric for metric in METRICS if metric in scores["differences"]["tuned-base"]]


def floors_with(scores: Mapping[str, Any], metric: str) -> list[str]:
    """Names of the floors that were scored in that metric, in the page's order."""
    return [name for name in FLOORS if name in scores["floors"] and metric in scores["floors"][name]["overall"]]


def verdict(scores: Mapping[str, Any], metric: str) -> str:
    """One sentence: what tuning changed in a metric, with its interval and the means that it lies between."""
    difference = scores["differences"]["tuned-base"][metric]
    base, tuned = (number(metric, scores["models"][name]["overall"][metric]["mean"]) for name in ("base", "tuned"))
    change = interval(metric, difference, signed=True, unit="" if metric == "nll" else " points")
    what = METRICS[metric]
    way = direction(metric, difference)
    if difference["low"] is None:
        change += " without an interval"
    if way == "unclear":
        return f"No difference shown in {what}: {change}, from {base} to {tuned}."
    verb = "raised" if difference["mean"] > 0 else "lowered"
    return f"Tuning {verb} {what}: {change}, from {base} to {tuned}."


def best_floor(scores: Mapping[str, Any], metric: str) -> str | None:
    """The name of the floor of highest mean; None where none was scored in that metric."""
    names = floors_with(scores, metric)
    return max(names, key=lambda name: scores["floors"][name]["overall"][metric]["mean"], default=None)


def floor_sentence(scores: Mapping[str, Any], metric: str) -> str:
    """One sentence: how the tuned model stands to the best of the floors, which need no model at all."""
    name = best_floor(scores, metric)
    if name is None:
        return f"No floor was scored in {METRICS[metric]}."
    difference = scores["differences"][f"tuned-{name}"][metric]
    said = f"the best floor, {FLOORS[name]} ({number(metric, scores['floors'][name]['overall'][metric]['mean'])})"
    change = interval(metric, difference, signed=True, unit=" points")
    verb = {"better": "beats", "worse": "stays below", "unclear": "is not shown to differ from"}[direction(metric, difference)]
    return f"The tuned model {verb} {said}: {change}."
