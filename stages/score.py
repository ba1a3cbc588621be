"""Score the predictions of base and tuned model beside three floors. No model runs here: a changed metric re-runs nothing else.

Reads:  data/predictions/{base,tuned}/predictions.jsonl, data/pool/tasks.parquet, examples.parquet; section score
Writes: reports/metrics.json: {"base", "tuned"}, each {"exact_match", "rouge_l" (0 to 1), "nll" (nats per token)},
        and the accuracies of rank classification where a target task has choices
        reports/scores.json: overall, by category and task, floors, paired differences, with intervals over tasks
        reports/scores.csv: model, level, name, and every metric
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from instune import config
from instune.config import Section
from instune.errors import InputError
from instune.evaluation.floors import questions_of
from instune.evaluation.predictions import check_same_prompts, read_predictions
from instune.evaluation.scores import all_scores, scores_table
from instune.records import read_examples, read_tasks
from instune.results import write_json, write_text
from stages.command import run


class Params(Section):
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of the intervals over tasks


SECTIONS = {"score": Params}


def main(*, tasks: Path, examples: Path, base: Path, tuned: Path, metrics: Path, scores: Path, table: Path) -> None:
    """Write the scores of both models."""
    params = config.load(SECTIONS)["score"]
    models = {"base": read_predictions(base, prompts=False), "tuned": read_predictions(tuned, prompts=False)}
    check_same_prompts(models["base"], models["tuned"])
    pool = read_tasks(tasks)
    asked = {row.place for row in models["base"]}
    questions = questions_of(read_examples(examples, sorted({task_id for task_id, _ in asked})), asked)
    if missing := sorted(asked - set(questions.inputs)):
        raise InputError(f"{examples}: has no example {missing[0][1]} of task {missing[0][0]}. Run `dvc repro` for one pool.")
    values = all_scores(models, pool, questions, confidence=params.confidence)
    overall = {
        name: {metric: summary["mean"] for metric, summary in model["overall"].items()}
        for name, model in values["models"].items()
    }
    write_json(scores, values)
    write_text(table, scores_table(values))
    write_json(metrics, overall)
    gain, means = values["differences"]["tuned-base"]["exact_match"], [overall[name]["exact_match"] for name in models]
    interval = "no interval from one task" if gain["low"] is None else f"[{gain['low']:+.3f}, {gain['high']:+.3f}]"
    print(
        f"{scores}: {values['examples']} examples of {values['tasks_scored']} tasks. Exact match: base {means[0]:.3f}, "
        f"tuned {means[1]:.3f}, difference {gain['mean']:+.3f} {interval}"
    )


if __name__ == "__main__":
    run(main)
