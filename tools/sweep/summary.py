"""From the scores of a sweep's experiments to means, intervals and paired differences: pure functions.

Tasks and seeds are crossed and both are samples: with two or more of each the interval is that of `instune.evaluation.crossed`,
with one seed that of `one_way` over tasks, which says nothing about other seeds; of one task there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from instune.errors import InputError
from instune.evaluation.crossed import crossed, holm, one_way
from tools.sweep.effects import contrasted, contrasts
from tools.sweep.plan import Experiment, Sweep

CONFIDENCE = 0.95

ByTask = Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """What one experiment came to.

    Attributes:
        scores: model (base, tuned) -> task -> metric -> score, the `tasks` of reports/scores.json.
        tokens: that were trained on, in all passes: of rows, prompts included; with_loss: those with a loss weight.
        figures: of the sweep's `figures`, those that this experiment's reports have.
    """

    experiment: Experiment
    scores: dict[str, dict[str, dict[str, Any]]]
    tokens: int
    with_loss: int
    figures: dict[str, float] = field(default_factory=dict)


def result_of(
    experiment: Experiment, scores: Mapping[str, Any], finetune: Mapping[str, Any], figures: Mapping[str, float]
) -> Result:
    """From the content of reports/scores.json and reports/finetune.json."""
    epochs, tokens = experiment.params["finetune"]["epochs"], finetune["tokens"]
    models = {model: values["tasks"] for model, values in scores["models"].items()}
    return Result(experiment, models, tokens["all"] * epochs, tokens["with_loss"] * epochs, dict(figures))


def rounded(value: Any) -> Any:
    """The same with six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def interval(values: np.ndarray) -> dict[str, float | int | None]:
    """Mean of scores or differences (T, S) of T tasks under S seeds, with its interval.

    Returns:
        mean, low, high, p_value (of a mean of zero), smallest_effect, tasks, seeds; None for what cannot be said.
    """
    tasks, seeds = values.shape
    if tasks == 1:
        said = {"mean": float(values.mean()), "low": None, "high": None, "p_value": None, "smallest_effect": None}
        return {**said, "tasks": tasks, "seeds": seeds}
    found = asdict(crossed(values, CONFIDENCE) if seeds > 1 else one_way(values, CONFIDENCE))
    return found if values.std() else found | {"smallest_effect": None}  # no spread to judge by


def tasks_of(results: Iterable[Result], metrics: Iterable[str]) -> list[str]:
    """The target tasks, which must be the same in every experiment.

    Raises:
        InputError: they are not, or a metric is missing.
    """
    first = None
    for result in results:
        name, tasks = result.experiment.name, result.scores["tuned"]
        first = first or result
        if set(tasks) != set(first.scores["tuned"]):
            raise InputError(
                f"{name}: scored {len(tasks)} target tasks, {first.experiment.name} {len(first.scores['tuned'])}, not the same.\n"
                "  The arms of a sweep share their targets; take `targets` out of the arms."
            )
        for metric in metrics:
            if missing := sorted(task for task in tasks if tasks[task].get(metric) is None):
                there = ", ".join(sorted(key for key, value in tasks[missing[0]].items() if isinstance(value, float)))
                raise InputError(f"metrics: {metric!r} is missing for {missing[0]} in {name}. There are: {there}.")
    return sorted(first.scores["tuned"]) if first else []


def matrix(results: Mapping[int, Result], model: str, metric: str, tasks: list[str]) -> np.ndarray:
    """Scores (T, S) of tasks by seeds, both ascending."""
    return np.array([[results[seed].scores[model][task][metric] for seed in sorted(results)] for task in tasks], dtype=float)


def _measure(results: Mapping[int, Result], model: str, metric: str, tasks: list[str]) -> dict[str, Any]:
    values = matrix(results, model, metric, tasks)
    found = interval(values)
    kept = {key: found[key] for key in ("mean", "low", "high", "tasks", "seeds")}
    return {**kept, "by_seed": dict(zip(map(str, sorted(results)), values.mean(0).tolist(), strict=True))}


def _minus(results: Mapping[int, Result], other: Mapping[int, Result], metric: str, tasks: list[str]) -> dict[str, Any] | None:
    """Paired difference over the seeds that both have."""
    shared = sorted(set(results) & set(other))
    if not shared:
        return None
    pair = [matrix({seed: arm[seed] for seed in shared}, "tuned", metric, tasks) for arm in (results, other)]
    return interval(pair[0] - pair[1])


def with_holm(found: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    """Intervals by name with `p_holm` beside the others, corrected for all that have a p-value."""
    known = {name: one["p_value"] for name, one in found.items() if one and one["p_value"] is not None}
    corrected = holm(known) if known else {}
    return {name: {**one, "p_holm": corrected.get(name)} if one else None for name, one in found.items()}


def effects_of(sweep: Sweep, by_arm: Mapping[str, Mapping[int, Result]], tasks: list[str]) -> dict[str, dict[str, Any]]:
    """Metric -> main effect or interaction -> its interval over the seeds that all arms have; empty where there is none."""
    shared = sorted(set.intersection(*(set(by_arm[arm]) for arm in sweep.arms)))
    if not shared or not sweep.factors:
        return {}
    found = {}
    for metric in sweep.metrics:
        own = {arm: matrix({seed: by_arm[arm][seed] for seed in shared}, "tuned", metric, tasks) for arm in sweep.arms}
        effects = contrasts({factor: list(levels) for factor, levels in sweep.factors.items()})
        found[metric] = with_holm({effect: interval(contrasted(own, weights)) for effect, weights in effects.items()})
    return found


def _spread(values: list[float]) -> dict[str, float | int]:
    return {"mean": fmean(values), "least": min(values), "most": max(values)}


def summarize(
    name: str, sweep: Sweep, results: Iterable[Result], missing: Mapping[str, str], tuned: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of reports/sweeps/<name>.json.

    Args:
        missing: experiment -> why there is no result of it.
        tuned: arm -> section.key -> {"chosen", "trials": [[value, loss], ...]}.

    Returns:
        about, settings, missing, tuned; base (the model before fine-tuning, under the baseline's seeds): measures; arms: arm ->
        {"experiments", "tokens", "with_loss", "figures", "measures": {metric: {mean, low, high, tasks, seeds, by_seed,
        minus_baseline}}}; effects: of a factorial sweep, as `effects_of`.
        p_holm is corrected for all arms against the baseline, and for all effects, metric by metric.
    """
    results = list(results)
    tasks, arms = tasks_of(results, sweep.metrics), {}
    by_arm = {arm: {one.experiment.seed: one for one in results if one.experiment.arm == arm} for arm in sweep.arms}
    for arm, own in by_arm.items():
        arms[arm] = {"experiments": len(own), "measures": {}}
        if own:
            arms[arm]["tokens"] = _spread([one.tokens for one in own.values()])
            arms[arm]["with_loss"] = _spread([one.with_loss for one in own.values()])
            named = {name: [one.figures[name] for one in own.values() if name in one.figures] for name in sweep.figures}
            arms[arm]["figures"] = {name: _spread(values) for name, values in named.items() if values}
            arms[arm]["measures"] = {metric: _measure(own, "tuned", metric, tasks) for metric in sweep.metrics}
    for metric in sweep.metrics:
        others = [arm for arm in sweep.arms if arm != sweep.baseline and by_arm[arm]]
        minus = {arm: _minus(by_arm[arm], by_arm[sweep.baseline], metric, tasks) for arm in others}
        for arm, found in with_holm(minus).items():
            arms[arm]["measures"][metric]["minus_baseline"] = found
    baseline = by_arm[sweep.baseline]
    base = {metric: _measure(baseline, "base", metric, tasks) for metric in sweep.metrics} if baseline else {}
    settings = sweep.model_dump(exclude={"about"}) | {"confidence": CONFIDENCE, "targets": tasks}
    content = {"about": sweep.about, "settings": settings, "missing": dict(missing), "tuned": tuned}
    effects = effects_of(sweep, by_arm, tasks)
    return rounded({"sweep": name, **content, "base": {"measures": base}, "arms": arms, "effects": effects})
