"""Rows of what lm-evaluation-harness measured of base and tuned model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instune.report.tables import Rows, plain

BETTER = {True: "↑", False: "↓", None: ""}  # which way a metric improves


def _said(metric: Mapping[str, Any] | None) -> str:
    """A value with its standard error, as lm-evaluation-harness has them; a dash where there is none."""
    if metric is None:
        return "–"
    error = "" if metric["stderr"] is None else f" ± {metric['stderr']:.3f}"
    return f"{metric['value']:.3f}{error}".replace("-", "−")


def _name(key: str) -> str:
    metric, _, kept = key.partition(",")
    return metric if kept in ("none", "") else f"{metric} ({kept})"


def tasks(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Rows:
    """Task, metric with the way it improves, shots, documents, base, tuned, prompts cut: a row for each metric of each task."""
    rows = []
    for task, said in sorted(base["tasks"].items()):
        other = tuned["tasks"][task]
        cut = plain(max(said["cut"], other["cut"]))
        documents = plain(said["n"]) if said["n"] == said["of"] else f"{plain(said['n'])} of {plain(said['of'])}"
        for key, value in sorted(said["metrics"].items()):
            name = f"{_name(key)} {BETTER[value['higher_is_better']]}".strip()
            rows.append([task, name, plain(said["shots"]), documents, _said(value), _said(other["metrics"].get(key)), cut])
    return rows


def groups(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Rows:
    """Group, metric, number of its tasks, base, tuned."""
    return [
        [group, _name(key), plain(len(said["tasks"])), _said(value), _said(tuned["groups"][group]["metrics"].get(key))]
        for group, said in sorted(base["groups"].items())
        for key, value in sorted(said["metrics"].items())
    ]


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}".replace("-", "−")


def paper(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Rows:
    """The IM paper's groups and their means in per cent: base, tuned, and both as published; no rows where none was run."""
    if "im_nlp" not in base:
        return []
    sides = (base["im_nlp"], tuned["im_nlp"])
    rows = [
        [name, *(_points(side["groups"][name][key]) for key in ("mean", "mean_as_published") for side in sides)]
        for name in sides[0]["groups"]
    ]
    return [*rows, ["mean of groups", *(_points(side[key]) for key in ("mean", "mean_as_published") for side in sides)]]


def view(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says; `base` and `tuned` are results.json of the two models, of the same tasks."""
    return {"tasks": tasks(base, tuned), "groups": groups(base, tuned), "paper": paper(base, tuned)}
