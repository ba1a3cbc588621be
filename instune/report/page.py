"""The report page: one HTML file without any request, everything from the data escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instune.evaluation.metrics import TEXT_METRICS
from instune.report import asked, benchmarks, browser, data, learned, mask, numbers, plots, selection, tables
from instune.report.cautions import base_note, cautions
from instune.report.inputs import Curves, Inputs

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = {
    "cautions": "What to distrust",
    "asked": "What was run",
    "data": "Data",
    "selected": "Selected source tasks",
    "instructions": "Training instructions",
    "training": "Fine-tuning",
    "scores": "Scores",
    "benchmarks": "Benchmarks",
    "answers": "Answers side by side",
    "left-out": "Skipped, dropped, truncated",
    "parameters": "Parameters",
    "environment": "Environment",
}
SHOWN_CATEGORIES, LONGEST_NAME = 20, 28  # in the plot: how many, characters of a name
CURVES = {"nll": "NLL per output token"}
MERGED = "the tokenizer merges the prompt's end into the output"


def _dot(label: str, metric: str, score: Mapping[str, Any], colour: str) -> plots.Dot:
    low, high = (None if score[end] is None else 100 * score[end] for end in ("low", "high"))
    return plots.Dot(label, 100 * score["mean"], low, high, numbers.interval(metric, score), colour)


def score_plots(scores: Mapping[str, Any], note: str) -> list[str]:
    """One dot plot per metric that floors have too: base, tuned and the floors."""
    figures = []
    for metric in (metric for metric in numbers.metrics_of(scores) if metric in TEXT_METRICS):
        models = scores["models"]
        base = f"base ({note})".replace(", ", ",\n") if note else "base"
        dots = [
            _dot(base, metric, models["base"]["overall"][metric], plots.INK),
            _dot("tuned", metric, models["tuned"]["overall"][metric], plots.ACCENT),
        ]
        for name in numbers.floors_with(scores, metric):
            dots.append(_dot(numbers.FLOORS[name], metric, scores["floors"][name]["overall"][metric], plots.MUTED))
        figures.append(plots.dot_plot(dots, name=f"score-{metric}", title=numbers.sentence(numbers.METRICS[metric])))
    return figures


def category_plots(scores: Mapping[str, Any], metric: str) -> list[str]:
    """Base and tuned by category, those of most tasks; none where there is one category alone."""
    models = scores["models"]
    found = [(name, part) for name, part in models["tuned"]["categories"].items() if metric in part]
    found = sorted(found, key=lambda item: (-item[1]["tasks"], item[0]))[:SHOWN_CATEGORIES]
    pairs = [
        (
            name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…",
            _dot("base", metric, models["base"]["categories"][name][metric], plots.INK),
            _dot("tuned", metric, part[metric], plots.ACCENT),
        )
        for name, part in found
    ]
    title = f"{numbers.sentence(numbers.METRICS[metric])} by category"
    return [plots.pair_plot(pairs, name=f"categories-{metric}", title=title)] if len(pairs) > 1 else []


def curve_plots(curves: Curves, prefix: str) -> list[str]:
    """One panel per name; curves of the same name from several splits share it."""
    titles = {name: CURVES.get(name, name.replace("_", " ")) for name in curves}
    return [
        plots.curve_plot(lines, name=f"{prefix}-{number}", title=numbers.sentence(titles[name]))
        for number, (name, lines) in enumerate(curves.items())
    ]


def left_out(inputs: Inputs) -> tables.Rows:
    """Everything that was skipped, dropped or cut: stage, what, how many."""
    found = []
    for pool, card in sorted(inputs.card.items()):
        found.append((f"ingest, {pool}", "left out; the reasons stand under Data", sum(card["skipped"].values())))
        found.append((f"ingest, {pool}", "examples dropped for their overlap with targets", card["dropped_for_overlap"]))
    found.append(("select_tasks", "compared texts longer than the encoder or model reads", inputs.selection["truncated"]))
    for reason, count in sorted(inputs.optimize.get("dropped", {}).items()):
        found.append(("optimize_instructions", f"dropped: {reason}", count))
    for what in ("dropped", "truncated"):
        found += [("finetune", f"{what}: {reason}", count) for reason, count in sorted(inputs.finetune[what].items())]
    found.append(("finetune", MERGED, inputs.finetune["merged_at_output"]))
    scores = inputs.scores
    found += [("evaluate", f"truncated: {segment}", count) for segment, count in sorted(scores["truncated"].items())]
    found.append(("evaluate", MERGED, scores["merged"]))
    for model, ends in sorted(scores["finish"].items()):
        found.append((f"evaluate, {model}", "answers cut at evaluate.max_new_tokens", ends.get("length", 0)))
    return [[stage, what, tables.plain(count)] for stage, what, count in found if count]


def unbroken(text: str) -> str:
    """The text with intervals, `[1.0, 2.0]`, that no line break divides."""
    return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)


def _results(scores: Mapping[str, Any], note: str) -> dict[str, Any]:
    """What the page says about the scores."""
    metrics = numbers.metrics_of(scores)
    return {
        "scores": scores,
        "tasks_said": asked.tasks(scores["tasks_scored"]),
        "held_out_said": asked.tasks(scores["tasks_scored"], "held-out "),
        "verdicts": [numbers.verdict(scores, metric) for metric in metrics],
        "direction": numbers.direction(metrics[0], scores["differences"]["tuned-base"][metrics[0]]),
        "floor_sentence": numbers.floor_sentence(scores, metrics[0]),
        "confidence": tables.plain(round(100 * scores["confidence"], 6)),
        "score_plots": score_plots(scores, note),
        "category_plots": category_plots(scores, metrics[0]),
        "score_tables": [tables.score_tables(scores, metric) for metric in metrics],
        "mended_rows": tables.mended(scores),
    }


def _run(inputs: Inputs) -> dict[str, Any]:
    """What the page says about everything before the scores."""
    folds = range(len(inputs.optimize.get("folds", [])))
    return {
        "settings": {
            name: tables.flat(value if isinstance(value, dict) else {name: value}) for name, value in inputs.params.items()
        },
        "pools": data.pools(inputs.card, inputs.lengths),
        "selection": inputs.selection,
        "chosen": selection.view(
            inputs.selection, inputs.selection_details, inputs.params["select"], inputs.align, inputs.align_stability
        ),
        "optimize": inputs.optimize,
        "learned": learned.what(inputs.instructions),
        "learned_checks": learned.checks(inputs.optimize),
        "fold_ends": [f"fold {number} {end}" for number in folds for end in ("first", "last")],
        "optimize_plots": curve_plots(inputs.optimize_curves, "optimize"),
        "finetune": inputs.finetune,
        "mask": mask.view(inputs.finetune["sample"]),
        "finetune_plots": curve_plots(inputs.finetune_curves, "finetune"),
        "left_out": left_out(inputs),
        "versions": inputs.versions,
        "weights": {model: row.model for model, row in vars(inputs.pairs[0]).items()} if inputs.pairs else {},
    }


def _question(inputs: Inputs) -> dict[str, Any]:
    """What the page says about what was asked, what to distrust, benchmarks, and the answers."""
    answers = browser.view(inputs.pairs)
    return {
        "target_name": asked.target_name(inputs.params["targets"]),
        "question": asked.question(inputs.params, inputs.scores, inputs.selection),
        "cautions": cautions(inputs),
        "benchmarks": benchmarks.view(inputs.base_benchmarks, inputs.tuned_benchmarks),
        "answers": answers,
        "outcome_rows": [[said, tables.plain(count)] for said, count in answers["outcomes"].items()],
    }


def _parts() -> dict[str, Any]:
    """Style and script, and the hash by which the page allows this script and no other."""
    script = (TEMPLATES / "browser.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8") + mask.TOKENS
    return {"script": script, "script_hash": f"sha256-{digest}", "style": style, "sections": SECTIONS}


def render(inputs: Inputs) -> str:
    """The whole page as text; equal inputs give equal text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": tables.plain,
        "unbroken": unbroken,
        "segments": tables.segments,
        "folds": tables.folds,
        "diversity": tables.diversity,
        "sentence": numbers.sentence,
    }
    note = base_note(inputs.params)
    page = environment.get_template("page.html.j2")
    parts = _results(inputs.scores, note) | _run(inputs) | _question(inputs) | _parts()
    return page.render(params=inputs.params, note=note, **parts)
