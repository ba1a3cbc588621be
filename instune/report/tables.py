"""Rows of the page's tables, numbers already said as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instune.evaluation.metrics import TEXT_METRICS
from instune.report.numbers import FLOORS, METRICS, floors_with, interval, number

Rows = list[list[str]]


def plain(value: Any) -> str:
    """A value of a parameter or a result as one line of text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> Rows:
    """Nested values as (dotted key, text) rows, in the order given."""
    rows: Rows = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows.extend(flat(value, f"{name}.") if value else [[name, "none"]])
        else:
            rows.append([name, plain(value)])
    return rows


def cosine(value: float | None) -> str:
    """A cosine or a difference of two with three decimals, a dash where there is none."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def segments(finetune: Mapping[str, Any]) -> Rows:
    """Segment, its training tokens, their share of all tokens, its loss weight."""
    tokens, weights = finetune["tokens"], finetune["loss_weights"]
    return [
        [name, plain(tokens[name]), f"{100 * tokens[name] / tokens['all']:.1f} %", plain(weights[name])]
        for name in sorted(weights.keys() & tokens.keys(), key=lambda name: (-tokens[name], name))
    ]


def folds(optimize: Mapping[str, Any]) -> Rows:
    """Measure, then its first and last value in every fold of the instructions' optimization."""
    ends = [fold[end] for fold in optimize["folds"] for end in ("first", "last")]
    return [[name.replace("_", " "), *(f"{end[name]:.4g}" for end in ends)] for name in sorted(ends[0] if ends else ())]


def diversity(optimize: Mapping[str, Any]) -> Rows:
    """Measure, its value for the human and for the learned instructions, `-` where rows show none."""
    human, learned = optimize["diversity"]["human"], optimize["diversity"].get("learned", {})
    return [[name.replace("_", " "), f"{human[name]:.4g}", f"{learned[name]:.4g}" if learned else "-"] for name in sorted(human)]


def mended(scores: Mapping[str, Any]) -> Rows:
    """Model, metric, its mean as published and mended, how many answers score otherwise; of models that have such answers."""
    return [
        [name, METRICS[metric], number(metric, model["overall"][metric]["mean"]), number(metric, model["fixed"][metric]), changed]
        for name, model in scores["models"].items()
        if (changed := plain(model["fixed"]["changed"])) != "0"
        for metric in TEXT_METRICS
    ]


def votes(counts: Sequence[int]) -> str:
    """Votes as `2 at rank 1, 1 at rank 4`."""
    return ", ".join(f"{count} at rank {rank}" for rank, count in enumerate(counts, start=1) if count) or "none"


def score_tables(scores: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Everything about one metric: overall, by category and by task."""
    floors = floors_with(scores, metric)
    return {
        "name": METRICS[metric],
        "floors": [FLOORS[name] for name in floors],
        "category_columns": _category_columns(metric),
        "overall": _overall(scores, metric, floors),
        "categories": _by_category(scores, metric, floors),
        "tasks": _by_task(scores, metric, floors),
    }


def _overall(scores: Mapping[str, Any], metric: str, floors: Sequence[str]) -> Rows:
    """Model or floor, its tasks, mean over tasks with interval, mean over examples, and what the tuned model has over it."""
    rows = []
    for name, scored in [*sorted(scores["models"].items()), *((name, scores["floors"][name]) for name in floors)]:
        score, difference = scored["overall"][metric], scores["differences"].get(f"tuned-{name}", {}).get(metric)
        over = "–" if difference is None else interval(metric, difference, signed=True)
        rows.append(
            [
                FLOORS.get(name, name),
                str(score["tasks"]),
                interval(metric, score),
                number(metric, scored["official"][metric]),
                over,
            ]
        )
    return rows


def _category_columns(metric: str) -> list[str]:
    over_examples = ["base over examples", "tuned over examples"] if metric in TEXT_METRICS else []
    return ["category", "tasks", "base", "tuned", "difference", *over_examples]


def _by_category(scores: Mapping[str, Any], metric: str, floors: Sequence[str]) -> Rows:
    """Category, tasks, base, tuned, difference and floors: means over the category's tasks that have the metric.

    Exact match and ROUGE-L have the means of base and tuned over the category's examples too, as Tk-Instruct prints them.
    """
    models, rows = scores["models"], []
    for name, tuned in sorted(models["tuned"]["categories"].items()):
        if metric not in tuned:
            continue
        parts = [
            models["base"]["categories"][name],
            tuned,
            *(scores["floors"][floor]["categories"].get(name, {}) for floor in floors),
        ]
        means = [part.get(metric, {}).get("mean") for part in parts]
        texts = _with_difference(metric, means)
        if metric in TEXT_METRICS:
            texts[3:3] = [number(metric, part["official"][metric]) for part in parts[:2]]
        rows.append([name, str(tuned[metric]["tasks"]), *texts])
    return rows


def _by_task(scores: Mapping[str, Any], metric: str, floors: Sequence[str]) -> Rows:
    """Task, category, examples, base, tuned, difference and floors."""
    models, rows = scores["models"], []
    for name, tuned in sorted(models["tuned"]["tasks"].items()):
        if metric not in tuned:
            continue
        parts = [models["base"]["tasks"][name], tuned, *(scores["floors"][floor]["tasks"].get(name, {}) for floor in floors)]
        means = [part.get(metric) for part in parts]
        rows.append([name, tuned["category"], str(tuned["examples"]), *_with_difference(metric, means)])
    return rows


def _with_difference(metric: str, means: Sequence[float | None]) -> list[str]:
    base, tuned, *floors = means
    difference = None if base is None or tuned is None else tuned - base
    texts = [number(metric, value) for value in (base, tuned)]
    return [*texts, number(metric, difference, signed=True), *(number(metric, value) for value in floors)]
