"""From the experiments of a sweep over loss masks to the paper's measures: pure functions.

Held-out and training loss are NLL per output token of the tuned model, whatever it was trained on; memorization is BLEU-4 of its
greedy outputs on training instructions against what it was trained to say (Table 2 of arXiv 2405.14394).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from sacrebleu import corpus_bleu

from instune.evaluation.predictions import Prediction
from instune.evaluation.statistics import t_interval
from instune.tuning.mixture import split_validation
from tools.sweep.plan import Experiment
from tools.sweep.summary import CONFIDENCE, interval, rounded

HELD_OUT, TRAIN, RECALL = "masks_held_out", "masks_train", "masks_recall"


@dataclass(frozen=True)
class Run:
    """What one experiment came to.

    Attributes:
        measures: held_out_nll and, where training rows are asked, train_nll (T tasks), bleu_4 (0 to 100), cut (share of these
            outputs that end at the limit of new tokens).
        ratio: tokens of instruction to output over the training rows.
        rows: training rows of an epoch.
    """

    experiment: Experiment
    measures: dict[str, list[float]]
    ratio: float
    rows: int


def bleu_4(predictions: Sequence[Prediction]) -> float:
    """Corpus BLEU of up to four words, 0 to 100, tokenized and smoothed as sacrebleu does by default, on first references."""
    outputs, wanted = [row.output for row in predictions], [row.references[0] for row in predictions]
    return float(corpus_bleu(outputs, [wanted]).score)


def recalled(experiment: Experiment, tasks: Iterable[str]) -> list[str]:
    """The tasks of training rows that are asked again, those that this run held out for validation left out."""
    parts = {task: task.replace(RECALL, TRAIN, 1) for task in tasks if task.startswith(f"{RECALL}:")}
    if not parts:
        return []
    share, seed = experiment.params["finetune"]["validation_share"], experiment.seed
    trained, _ = split_validation(sorted(parts.values()), share=share, seed=seed)
    return sorted(task for task, source in parts.items() if source in trained)


def run_of(
    experiment: Experiment, scores: Mapping[str, Any], finetune: Mapping[str, Any], predictions: Sequence[Prediction]
) -> Run:
    """From reports/scores.json, reports/finetune.json and the tuned model's predictions."""
    tasks = scores["models"]["tuned"]["tasks"]
    measures = {"held_out_nll": [tasks[task]["nll"] for task in sorted(tasks) if task.startswith(f"{HELD_OUT}:")]}
    again = recalled(experiment, tasks)
    if again:
        asked = [row for row in predictions if row.task_id in again]
        measures["train_nll"] = [tasks[task]["nll"] for task in again]
        measures["bleu_4"] = [bleu_4(asked)]
        measures["cut"] = [fmean(row.finish == "length" for row in asked)]
    return Run(experiment, measures, finetune["instruction_output_ratio"], finetune["rows"]["training"])


def _matrix(runs: Mapping[int, Run], measure: str) -> np.ndarray:
    """Values (T, S) by seeds ascending. Tasks of training rows differ by seed, so their mean is one value, T = 1."""
    columns = [runs[seed].measures[measure] for seed in sorted(runs)]
    if measure != "held_out_nll":
        columns = [[fmean(column)] for column in columns]
    return np.array(columns, dtype=float).T


def spread(values: np.ndarray) -> dict[str, float | None]:
    """Mean of values (T, S) of tasks and seeds with its interval: over both, or over seeds where there is one task."""
    if values.shape[0] > 1:
        found = interval(values)
        return {key: found[key] for key in ("mean", "low", "high")}
    low, high = t_interval(values[0].tolist(), CONFIDENCE) or (None, None)
    return {"mean": float(values.mean()), "low": low, "high": high}


def summarize(runs: Iterable[Run], arms: Sequence[str], baseline: str) -> dict[str, Any]:
    """Arm -> seeds, ratio, rows, and of every measure mean, low, high, by_seed, and minus_baseline, paired by seed."""
    by_arm = {arm: {} for arm in arms}
    for run in runs:
        by_arm[run.experiment.arm][run.experiment.seed] = run
    found = {}
    for arm, own in by_arm.items():
        if not own:
            continue
        first = next(iter(own.values()))
        said = {"seeds": sorted(own), "ratio": fmean(run.ratio for run in own.values()), "rows": first.rows, "measures": {}}
        shared = sorted(set(own) & set(by_arm[baseline]))
        for measure in first.measures:
            values = _matrix(own, measure)
            one = spread(values) | {"by_seed": dict(zip(map(str, sorted(own)), values.mean(0).tolist(), strict=True))}
            if arm != baseline and shared:
                pair = [_matrix({seed: arm_runs[seed] for seed in shared}, measure) for arm_runs in (own, by_arm[baseline])]
                one["minus_baseline"] = spread(pair[0] - pair[1])
            said["measures"][measure] = one
        found[arm] = said
    return rounded(found)


def gains(runs: Iterable[Run], pairs: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """What IM saves on held-out rows in nats per output token, for every pair of arms.

    Args:
        pairs: name -> arms of it and im, on the same rows.

    Returns:
        name -> ratio, rows, and mean, low, high of held-out NLL under it minus that under im, over tasks and seeds.
    """
    by_arm: dict[str, dict[int, Run]] = {}
    for run in runs:
        by_arm.setdefault(run.experiment.arm, {})[run.experiment.seed] = run
    found = {}
    for name, (plain, modelled) in pairs.items():
        left, right = by_arm.get(plain, {}), by_arm.get(modelled, {})
        shared = sorted(set(left) & set(right))
        if shared:
            sides = [_matrix({seed: side[seed] for seed in shared}, "held_out_nll") for side in (left, right)]
            first = left[shared[0]]
            found[name] = {"ratio": first.ratio, "rows": first.rows, **spread(sides[0] - sides[1])}
    return rounded(found)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Least squares slope and intercept of y over ln x, as in Fig. 2; None for fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return None
    slope, intercept = np.polyfit([math.log(x) for x, _ in points], [y for _, y in points], 1)
    return float(slope), float(intercept)
