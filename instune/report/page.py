"""The report page: one HTML file without any request, everything from the data escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instune.evaluation.metrics import TEXT_METRICS, exact_match
from instune.evaluation.predictions import Prediction
from instune.report import data, learned, mask, numbers, plots, selection, tables
from instune.report.inputs import Curves, Inputs, Pair

PACKAGED_NOTE = "instruction-tuned, was 4-bit"
SHOWN_TARGETS = 3
CURVES = {"nll": "NLL per output token"}
MERGED = "the tokenizer merges the prompt's end into the output"


def base_note(params: Mapping[str, Any]) -> str:
    """What must stand wherever the base model's scores are shown; empty for a model that says it itself."""
    return PACKAGED_NOTE if params["base_model"]["source"] == "packaged" else ""


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


def curve_plots(curves: Curves, prefix: str) -> list[str]:
    """One panel per name; curves of the same name from several splits share it."""
    titles = {name: CURVES.get(name, name.replace("_", " ")) for name in curves}
    return [
        plots.curve_plot(lines, name=f"{prefix}-{number}", title=numbers.sentence(titles[name]))
        for number, (name, lines) in enumerate(curves.items())
    ]


def target_name(targets: Mapping[str, Any]) -> str:
    """The targets as a heading says them: `the test split`, `task1, task2, task3 and 9 more`."""
    values = targets["values"]
    shown = ", ".join(values[:SHOWN_TARGETS])
    if len(values) > SHOWN_TARGETS:
        shown += f" and {len(values) - SHOWN_TARGETS} more"
    forms = {"split": "the {} split", "pool": "the pool {}", "categories": "{}", "tasks": "{}"}
    return forms[targets["by"]].format(shown)


def _answer(row: Prediction) -> dict[str, Any]:
    return {"output": row.output, "right": exact_match(row.output, row.references) == 1, "finish": row.finish}


def _sample(pair: Pair) -> dict[str, Any]:
    question = pair.base
    return {
        "example_id": question.example_id,
        "prompt": question.prompt,
        "references": question.references,
        "base": _answer(pair.base),
        "tuned": _answer(pair.tuned),
    }


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


def _results(scores: Mapping[str, Any], note: str) -> dict[str, Any]:
    """What the page says about the scores."""
    metrics = numbers.metrics_of(scores)
    return {
        "scores": scores,
        "verdicts": [numbers.verdict(scores, metric) for metric in metrics],
        "direction": numbers.direction(metrics[0], scores["differences"]["tuned-base"][metrics[0]]),
        "floor_sentence": numbers.floor_sentence(scores, metrics[0]),
        "confidence": tables.plain(round(100 * scores["confidence"], 6)),
        "score_plots": score_plots(scores, note),
        "score_tables": [tables.score_tables(scores, metric) for metric in metrics],
    }


def _run(inputs: Inputs) -> dict[str, Any]:
    """What the page says about everything before the scores."""
    folds = range(len(inputs.optimize.get("folds", [])))
    return {
        "target_name": target_name(inputs.params["targets"]),
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
        "mask_style": mask.TOKENS,
        "finetune_plots": curve_plots(inputs.finetune_curves, "finetune"),
        "samples": {task: [_sample(pair) for pair in pairs] for task, pairs in inputs.samples.items()},
        "left_out": left_out(inputs),
        "versions": inputs.versions,
    }


def render(inputs: Inputs) -> str:
    """The whole page as text; equal inputs give equal text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": tables.plain,
        "segments": tables.segments,
        "folds": tables.folds,
        "diversity": tables.diversity,
        "sentence": numbers.sentence,
    }
    note = base_note(inputs.params)
    page = environment.get_template("page.html.j2")
    return page.render(params=inputs.params, note=note, **_results(inputs.scores, note), **_run(inputs))
