"""report.md: the verdict, the scores and what to distrust, short enough for a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from instune.report import asked, numbers, tables
from instune.report.cautions import base_note, cautions
from instune.report.inputs import Inputs

SHOWN_CATEGORIES = 12


def escaped(text: str) -> str:
    """Text from data on one line, without a meaning in Markdown or HTML, and without a mention of anybody."""
    line = re.sub(r"([\\`*_{}\[\]<>|#~&!])", r"\\\1", " ".join(text.split()))
    return line.replace("@", "@\u2060")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _overall(scores: Mapping[str, Any]) -> str:
    rows = []
    for metric in numbers.metrics_of(scores):
        models = [numbers.interval(metric, scores["models"][name]["overall"][metric]) for name in ("base", "tuned")]
        change = numbers.interval(metric, scores["differences"]["tuned-base"][metric], signed=True)
        floor = numbers.best_floor(scores, metric)
        said = "–"
        if floor:
            said = f"{numbers.FLOORS[floor]} {numbers.interval(metric, scores['floors'][floor]['overall'][metric])}"
        rows.append([numbers.METRICS[metric], *models, change, said])
    return _table(["", "base", "tuned", "tuned − base", "best floor"], rows)


def _categories(scores: Mapping[str, Any], metric: str) -> str:
    found = sorted(tables.score_tables(scores, metric)["categories"], key=lambda row: (-int(row[1]), row[0]))
    if len(found) < 2:
        return ""
    head = [f"{numbers.METRICS[metric]} by category", "tasks", "base", "tuned", "difference"]
    text = _table(head, [[escaped(row[0]), *row[1:5]] for row in found[:SHOWN_CATEGORIES]])
    more = len(found) - SHOWN_CATEGORIES
    return text if more <= 0 else f"{text}\n\nand {more} more categories"


def short_form(inputs: Inputs) -> str:
    """The whole of report.md; equal inputs give equal text."""
    scores = inputs.scores
    metric = numbers.metrics_of(scores)[0]
    held_out = asked.tasks(scores["tasks_scored"], "held-out ")
    confidence, note = tables.plain(round(100 * scores["confidence"], 6)), base_note(inputs.params)
    parts = [
        f"# Base against tuned on {escaped(asked.target_name(inputs.params['targets']))}",
        escaped(asked.question(inputs.params, scores, inputs.selection)),
        f"**{numbers.verdict(scores, metric)}** {numbers.floor_sentence(scores, metric)}",
        _overall(scores),
        f"Means over {held_out} with {confidence} % intervals over tasks; differences are paired."
        f" Exact match, ROUGE-L and accuracies in points.{f' base: {note}.' if note else ''}",
        _categories(scores, metric),
        "## What to distrust",
        "\n".join(f"- {escaped(sentence)}" for sentence in cautions(inputs)),
        "The whole page is `reports/report.html`: `make repro` writes it.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
