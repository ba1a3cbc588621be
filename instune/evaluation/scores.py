"""Scores of every task, category and model, with intervals and floors: the content of `scores.json`."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from instune.errors import InputError
from instune.evaluation.floors import Questions, floor_outputs
from instune.evaluation.metrics import FIXED_METRICS, RANK_METRICS, TEXT_METRICS, needs_mending, rank_accuracy
from instune.evaluation.predictions import Prediction
from instune.evaluation.statistics import over_tasks, paired
from instune.records import Task

NLL = "nll"
MEASURES = (*TEXT_METRICS, NLL, *RANK_METRICS)


@dataclass(frozen=True)
class Scored:
    """One answerer's scores.

    Attributes:
        tasks: metric -> task -> mean over the task's examples; `nll` is nats per reference token.
        official: metric -> mean over all examples (or tokens), as Tk-Instruct prints it.
        fixed: metric -> mean over tasks by the mended metric, and `changed`, the number of examples that it scores otherwise.
        examples: task -> number of examples.
    """

    tasks: dict[str, dict[str, float]]
    official: dict[str, float]
    fixed: dict[str, float]
    examples: dict[str, int]


def _check_finite(row: Prediction, value: float, what: str) -> None:
    if not math.isfinite(value):
        raise InputError(
            f"task {row.task_id}, example {row.example_id}: {what} is {value}. "
            "Weights or precision are at fault: run the evaluate stage again with evaluate.precision: float32."
        )


def _by_task(predictions: Sequence[Prediction], values: Sequence[float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for row, value in zip(predictions, values, strict=True):
        _check_finite(row, value, "a score")
        groups.setdefault(row.task_id, []).append(value)
    return groups


def score_texts(predictions: Sequence[Prediction], outputs: Sequence[str]) -> Scored:
    """Exact match and ROUGE-L of outputs, one per prediction, against the predictions' references."""
    tasks, official, fixed, changed = {}, {}, {}, set()
    answers = [(output, row.references) for row, output in zip(predictions, outputs, strict=True)]
    special = [place for place, answer in enumerate(answers) if needs_mending(*answer)]
    for name, metric in TEXT_METRICS.items():
        values = [metric(*answer) for answer in answers]
        mended = dict(enumerate(values)) | {place: FIXED_METRICS[name](*answers[place]) for place in special}
        tasks[name] = {task_id: fmean(of_task) for task_id, of_task in _by_task(predictions, values).items()}
        official[name] = fmean(values)
        fixed[name] = fmean(fmean(of_task) for of_task in _by_task(predictions, list(mended.values())).values())
        changed |= {place for place in special if mended[place] != values[place]}
    return Scored(tasks, official, {**fixed, "changed": len(changed)}, Counter(row.task_id for row in predictions))


def score_model(predictions: Sequence[Prediction]) -> Scored:
    """As `score_texts` on the model's own outputs, the negative log-likelihood per token of the references, and for tasks with
    choices the accuracy of rank classification, by three lengths.

    Raises:
        InputError: a value is not finite.
    """
    scored = score_texts(predictions, [row.output for row in predictions])
    sums = {task_id: math.fsum(values) for task_id, values in _by_task(predictions, [row.nll for row in predictions]).items()}
    tokens: Counter[str] = Counter()
    for row in predictions:
        tokens[row.task_id] += row.nll_tokens
    scored.tasks[NLL] = {task_id: value / tokens[task_id] for task_id, value in sums.items()}
    scored.official[NLL] = math.fsum(sums.values()) / tokens.total()
    ranked = [row for row in predictions if row.choice_loglikelihoods]
    for row in ranked:
        for value in row.choice_loglikelihoods:
            _check_finite(row, value, "the log-likelihood of a choice")
    for name, length in RANK_METRICS.items() if ranked else ():
        values = [rank_accuracy(row.choices, row.choice_loglikelihoods, row.references, length) for row in ranked]
        scored.tasks[name] = {task_id: fmean(of_task) for task_id, of_task in _by_task(ranked, values).items()}
        scored.official[name] = fmean(values)
    return scored


def score_floors(predictions: Sequence[Prediction], tasks: Mapping[str, Task], questions: Questions) -> dict[str, Scored]:
    """The floors by name, over the tasks for which they have an answer; one without any such task is left out."""
    scored = {}
    for name, outputs in floor_outputs(predictions, tasks, questions).items():
        answered = [(row, output) for row, output in zip(predictions, outputs, strict=True) if output is not None]
        if answered:
            scored[name] = score_texts([row for row, _ in answered], [output for _, output in answered])
    return scored


def _over(scored: Scored, task_ids: Sequence[str], confidence: float) -> dict[str, Any]:
    """Every metric that one of the tasks has, over those that have it."""
    summary = {}
    for name, means in scored.tasks.items():
        if shared := {task_id: means[task_id] for task_id in task_ids if task_id in means}:
            summary[name] = over_tasks(shared, confidence)
    return summary


def _summarize(scored: Scored, category: Mapping[str, str], confidence: float) -> dict[str, Any]:
    """Overall, by category and by task; a category's `official` is its mean over examples, as Tk-Instruct prints it."""
    members: dict[str, list[str]] = {}
    for task_id in sorted(scored.examples):
        members.setdefault(category[task_id], []).append(task_id)
    categories = {}
    for name, task_ids in members.items():
        count = sum(scored.examples[task_id] for task_id in task_ids)
        over_examples = {
            metric: math.fsum(scored.tasks[metric][task_id] * scored.examples[task_id] for task_id in task_ids) / count
            for metric in TEXT_METRICS
        }
        sizes = {"tasks": len(task_ids), "examples": count}
        categories[name] = {**_over(scored, task_ids, confidence), "official": over_examples, **sizes}
    tasks = {}
    for task_id, count in scored.examples.items():
        means = {name: of_metric[task_id] for name, of_metric in scored.tasks.items() if task_id in of_metric}
        tasks[task_id] = {"category": category[task_id], "examples": count, **means}
    overall = _over(scored, sorted(scored.examples), confidence)
    return {"overall": overall, "official": scored.official, "fixed": scored.fixed, "categories": categories, "tasks": tasks}


def _differences(models: Mapping[str, Scored], floors: Mapping[str, Scored], confidence: float) -> dict[str, Any]:
    """Tuned minus base and minus each floor, paired over tasks, for the metrics that both have."""
    tuned, others = models["tuned"], {"base": models["base"], **floors}
    differences = {}
    for name, other in others.items():
        shared = [metric for metric in tuned.tasks if metric in other.tasks]
        differences[f"tuned-{name}"] = {metric: paired(tuned.tasks[metric], other.tasks[metric], confidence) for metric in shared}
    return differences


def all_scores(
    models: Mapping[str, Sequence[Prediction]],
    tasks: Mapping[str, Task],
    questions: Questions,
    *,
    confidence: float,
) -> dict[str, Any]:
    """Everything that `scores.json` holds.

    Args:
        models: `base` and `tuned`, each with the predictions for the same questions.
        tasks: the pool's tasks by id.
        questions: what the pool tells of them, for the floors.
        confidence: of the intervals, 0 to 1.

    Raises:
        InputError: a value is not finite.
    """
    scored = {name: score_model(rows) for name, rows in models.items()}
    floors = score_floors(models["base"], tasks, questions)
    category = {task_id: tasks[task_id].category for task_id in scored["base"].examples}
    cut = Counter(segment for row in models["base"] for segment in row.truncated)
    return {
        "confidence": confidence,
        "examples": len(models["base"]),
        "tasks_scored": len(category),
        "models": {name: _summarize(value, category, confidence) for name, value in scored.items()},
        "floors": {name: _summarize(value, category, confidence) for name, value in floors.items()},
        "differences": _differences(scored, floors, confidence),
        "truncated": dict(cut),
        "merged": sum(row.merged for row in models["base"]),
        "finish": {name: dict(Counter(row.finish for row in rows)) for name, rows in models.items()},
    }


def scores_table(scores: Mapping[str, Any]) -> str:
    """The means as CSV: model, level (overall, category, task), name, then every metric, empty where a row has none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "level", "name", *MEASURES])
    for model, summary in {**scores["models"], **scores["floors"]}.items():
        rows = [("overall", "all", {name: value["mean"] for name, value in summary["overall"].items()})]
        for name, values in sorted(summary["categories"].items()):
            rows.append(("category", name, {metric: values[metric]["mean"] for metric in MEASURES if metric in values}))
        rows += [("task", name, values) for name, values in sorted(summary["tasks"].items())]
        for level, name, values in rows:
            writer.writerow([model, level, name, *(values.get(metric, "") for metric in MEASURES)])
    return text.getvalue()
