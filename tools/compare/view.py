"""What page and Markdown show of a comparison: everything computed, every number said as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instune.report.numbers import METRICS, sentence
from instune.report.plots import ACCENT, INK, MUTED, SECOND, Dot
from instune.report.tables import plain
from tools.compare import plots, remarks, said
from tools.compare.groups import Compared
from tools.compare.targets import Cells, cells, targets_of
from tools.sweep.effects import described
from tools.sweep.summary import CONFIDENCE, Result, summarize

COLOURS = {"better": ACCENT, "worse": SECOND, "unclear": INK}
BEFORE = "before fine-tuning"
TITLE_KEYS, TITLE_LETTERS = 3, 48  # parameters, and letters of their values, that may name an arm without a sweep's file


def titles(compared: Compared) -> dict[str, str]:
    """Arm -> how it is named: as its sweep does, else by the few parameters in which arms differ, else by an experiment."""
    if compared.name:
        return {arm: arm for arm in compared.sweep.arms}
    keys = remarks.differing(compared.settings)
    if not 0 < len(keys) <= TITLE_KEYS:
        return {arm: arm for arm in compared.sweep.arms}
    named = {
        arm: " / ".join(f"{key.rpartition('.')[2]} {values[arm]}" for key, values in keys.items()) for arm in compared.sweep.arms
    }
    usable = max(map(len, named.values())) <= TITLE_LETTERS and len(set(named.values())) == len(named)
    return named if usable else {arm: arm for arm in compared.sweep.arms}


def _dot(metric: str, label: str, found: Mapping[str, Any], colour: str, *, signed: bool) -> Dot:
    scale = 1 if metric == "nll" else 100
    ends = [None if found[end] is None else scale * found[end] for end in ("low", "high")]
    return Dot(label, scale * found["mean"], *ends, said.interval(metric, found, signed=signed), colour)


def difference_plot(metric: str, better: str, found: Mapping[str, Any], named: Mapping[str, str], what: str, name: str) -> str:
    """Differences with their intervals; empty where there are none, or nothing but zeros."""
    if said.same(found):
        return ""
    dots = [
        _dot(metric, named[key], one, COLOURS[said.way(one, better)], signed=True)
        for key, one in found.items()
        if one is not None
    ]
    axis = f"{said.unit(metric)}, {better} is better"
    title = f"{sentence(METRICS.get(metric, metric))}: {what}"
    return plots.rows_plot(dots, name=name, title=title, axis=axis, zero=True) if dots else ""


def means_plot(metric: str, better: str, summary: Mapping[str, Any], named: Mapping[str, str]) -> str:
    """Means of all arms and of the model before fine-tuning."""
    arms = {arm: values["measures"].get(metric) for arm, values in summary["arms"].items()}
    dots = [_dot(metric, named[arm], one, INK, signed=False) for arm, one in arms.items() if one]
    if before := summary["base"]["measures"].get(metric):
        dots.append(_dot(metric, BEFORE, before, MUTED, signed=False))
    title = f"{sentence(METRICS.get(metric, metric))}: means"
    return plots.rows_plot(dots, name=f"means-{metric}", title=title, axis=f"{said.unit(metric)}, {better} is better", zero=False)


def _cell(metric: str, better: str, cell: Mapping[str, Any] | None, baseline: bool) -> dict[str, str]:
    if cell is None:
        return {"text": "–", "p": "", "way": "unclear"}
    if baseline:
        return {"text": said.number(metric, cell["mean"]), "p": "", "way": "unclear"}
    minus = cell.get("minus")
    p_value = said.p_value(minus)
    return {"text": said.interval(metric, minus, signed=True), "p": p_value, "way": said.way(minus, better)}


def _target_rows(metric: str, better: str, found: Cells, compared: Compared, targets: Mapping[str, list[str]]) -> list[dict]:
    arms, baseline = baseline_first(compared), compared.sweep.baseline
    return [
        {
            "target": target,
            "tasks": len(targets[target]),
            "cells": [_cell(metric, better, own.get(arm), arm == baseline) for arm in arms],
        }
        for target, own in found.items()
    ]


def baseline_first(compared: Compared) -> list[str]:
    """Arms in the order of a table's columns."""
    baseline = compared.sweep.baseline
    return [baseline, *(arm for arm in compared.sweep.arms if arm != baseline)]


def _arm_rows(metric: str, better: str, summary: Mapping[str, Any], compared: Compared, named: Mapping[str, str]) -> list[dict]:
    rows = []
    for arm in baseline_first(compared):
        values = summary["arms"][arm]
        measure, tokens = values["measures"].get(metric), values.get("tokens")
        minus = measure.get("minus_baseline") if measure else None
        smallest = said.number(metric, minus["smallest_effect"]) if minus else "–"
        mean = said.interval(metric, measure)
        counts = [str(values["experiments"]), plain(round(tokens["mean"])) if tokens else "–"]
        difference = "baseline" if arm == compared.sweep.baseline else said.interval(metric, minus, signed=True)
        cells = [*counts, mean, difference, said.tested(minus, better), "" if arm == compared.sweep.baseline else smallest]
        rows.append({"arm": named[arm], "cells": cells, "way": said.way(minus, better)})
    if before := summary["base"]["measures"].get(metric):
        rows.append({"arm": BEFORE, "cells": ["", "", said.interval(metric, before), "", "", ""], "way": "unclear"})
    return rows


def _effect_rows(metric: str, better: str, effects: Mapping[str, Any], factors: Mapping[str, list[str]]) -> list[dict]:
    if said.same(effects):
        return []
    return [
        {
            "effect": effect_name(effect, factors),
            "said": described(effect, factors),
            "cells": [
                said.interval(metric, one, signed=True),
                said.tested(one, better),
                said.number(metric, one["smallest_effect"]),
            ],
            "way": said.way(one, better),
        }
        for effect, one in effects.items()
    ]


def effect_name(effect: str, factors: Mapping[str, list[str]]) -> str:
    """`selection=random:mask=im` as `random × im`, with the factors' names where two have a level of one name."""
    levels = [level for own in factors.values() for level in own]
    parts = [part.split("=") for part in effect.split(":")]
    return " × ".join(level if len(set(levels)) == len(levels) else f"{factor} {level}" for factor, level in parts)


def _metric(metric: str, compared: Compared, summary: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """Everything about one metric."""
    sweep, better = compared.sweep, compared.sweep.metrics[metric]
    by_arm: dict[str, dict[int, Result]] = {arm: {} for arm in sweep.arms}
    for entry in compared.entries:
        by_arm[entry.experiment.arm][entry.experiment.seed] = entry.result
    minus = {
        arm: (summary["arms"][arm]["measures"].get(metric) or {}).get("minus_baseline")
        for arm in sweep.arms
        if arm != sweep.baseline
    }
    effects = summary["effects"].get(metric, {})
    factors = {factor: list(levels) for factor, levels in sweep.factors.items()}
    against, names = f"against {named[sweep.baseline]}", {key: effect_name(key, factors) for key in effects}
    return {
        "name": METRICS.get(metric, metric),
        "unit": said.unit(metric),
        "better": better,
        "verdict": sentence(said.verdict(metric, better, {named[arm]: one for arm, one in minus.items()}, against)),
        "smallest": said.smallest(metric, minus),
        "smallest_effects": said.smallest(metric, effects),
        "effects_verdict": sentence(
            said.verdict(metric, better, {names[key]: one for key, one in effects.items()}, "effects of the factors")
        )
        if effects
        else "",
        "effects": _effect_rows(metric, better, effects, factors),
        "arms": _arm_rows(metric, better, summary, compared, named),
        "effects_plot": difference_plot(metric, better, effects, names, "effects", f"effects-{metric}"),
        "difference_plot": difference_plot(metric, better, minus, named, "differences", f"differences-{metric}"),
        "means_plot": means_plot(metric, better, summary, named),
        "targets": {
            level: _target_rows(metric, better, cells(by_arm, sweep.baseline, metric, targets), compared, targets)
            for level, targets in targets_of(compared.entries).items()
        },
    }


def view(compared: Compared) -> dict[str, Any]:
    """Everything that is shown."""
    sweep, named = compared.sweep, titles(compared)
    summary = summarize(compared.name, sweep, [entry.result for entry in compared.entries], compared.missing, {})
    differing, order = remarks.differing(compared.settings), baseline_first(compared)
    tokens = [values["tokens"]["mean"] for values in summary["arms"].values() if "tokens" in values]
    return {
        "title": f"Sweep {compared.name}" if compared.name else "Experiments of this repository",
        "kind": "Arms" if compared.name else "Groups of experiments",
        "about": sweep.about,
        "baseline": named[sweep.baseline],
        "columns": [named[arm] for arm in order],
        "targets": len(summary["settings"]["targets"]),
        "seeds": sweep.seeds,
        "experiments": len(compared.entries),
        "planned": len(compared.entries) + len(compared.missing),
        "confidence": plain(round(100 * CONFIDENCE, 6)),
        "tokens_apart": max(tokens) / min(tokens) - 1 if tokens and min(tokens) else 0.0,
        "factors": {factor: list(levels) for factor, levels in sweep.factors.items()},
        "metrics": [_metric(metric, compared, summary, named) for metric in sweep.metrics],
        "differing": [[key, *(values[arm] for arm in order)] for key, values in differing.items()],
        "duplicates": remarks.duplicates(compared),
        "missing": dict(sorted(compared.missing.items())),
        "warnings": remarks.incomparable(compared) + remarks.code_versions(compared.entries),
    }
