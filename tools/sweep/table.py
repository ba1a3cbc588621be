"""The summary of a sweep as a Markdown table, with what to know beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

BETTER = {"lower": "lower is better", "higher": "higher is better"}
APART = 0.03  # rows are whole: share by which budgets of tokens that were filled may differ


def _interval(found: Mapping[str, Any] | None, *, sign: str = "") -> str:
    if found is None:
        return "-"
    mean = f"{found['mean']:{sign}.3f}"
    return mean if found["low"] is None else f"{mean} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def _p(found: Mapping[str, Any] | None) -> str:
    if found is None or found["p_holm"] is None:
        return "-"
    return f"{found['p_holm']:.3f}" if found["p_holm"] >= 0.001 else "< 0.001"


def _row(arm: str, values: Mapping[str, Any], metrics: Mapping[str, str], figures: Iterable[str]) -> list[str]:
    tokens = f"{values['tokens']['mean']:,.0f}" if "tokens" in values else "-"
    row = [arm, str(values["experiments"]) if "experiments" in values else "-", tokens]
    for metric in metrics:
        measure = values["measures"].get(metric)
        minus = measure.get("minus_baseline") if measure else None
        row += [_interval(measure), _interval(minus, sign="+"), _p(minus)]
    own = values.get("figures", {})
    return row + [f"{own[name]['mean']:.3f}" if name in own else "-" for name in figures]


def _token_remark(arms: Mapping[str, Mapping[str, Any]]) -> str:
    counts = {arm: values["tokens"]["mean"] for arm, values in arms.items() if "tokens" in values}
    if not counts:
        return "- Tokens: no experiment is there."
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    share = counts[most] / counts[least] - 1
    said = f"equal within {share:.1%}" if share <= APART else f"NOT EQUAL: {share:.1%} more in {most} than in {least}"
    return f"- Tokens: trained on, prompts included, mean over seeds; {said}."


def _tuned_remarks(tuned: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line per parameter: what each arm has, with a mark where it is the least or the greatest of the values tried."""
    by_key: dict[str, list[str]] = {}
    for arm, keys in tuned.items():
        for key, found in keys.items():
            tried = [value for value, _ in found["trials"]]
            edge = "*" if found["chosen"] in (tried[0], tried[-1]) else ""
            by_key.setdefault(key, []).append(f"{arm} {found['chosen']}{edge}")
    return [f"- {key}, tuned on validation tasks under the first seed: {', '.join(of)}." for key, of in by_key.items()]


def effects_table(summary: Mapping[str, Any]) -> list[str]:
    """Lines of a Markdown table: an effect per row; none where the sweep has no factors."""
    if not summary["effects"]:
        return []
    factors, metrics = summary["settings"]["factors"], list(summary["settings"]["metrics"])
    head = ["effect", *(name for metric in metrics for name in (metric, "p", "smallest effect"))]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head))]
    for effect in summary["effects"][metrics[0]]:
        row = [effect.replace(":", " x ")]
        for metric in metrics:
            found = summary["effects"][metric][effect]
            smallest = found["smallest_effect"]
            row += [_interval(found, sign="+"), _p(found), "-" if smallest is None else f"{smallest:.3f}"]
        lines.append("| " + " | ".join(row) + " |")
    against = ", ".join(f"{factor} {next(iter(levels))}" for factor, levels in factors.items())
    return [
        "",
        *lines,
        "",
        f"- Effects: against {against}; of one factor averaged over the others, of several the difference of the differences.",
        "  p: corrected by Holm for all effects, each metric for itself.",
        "  Smallest effect: found about four times out of five (with three to five seeds seven of ten), before correction.",
    ]


def table(summary: Mapping[str, Any]) -> str:
    """Title, one row per arm in the order of its file, the model before fine-tuning, and remarks.

    Args:
        summary: the content of reports/sweeps/<name>.json.
    """
    settings, arms = summary["settings"], summary["arms"]
    metrics, baseline = settings["metrics"], settings["baseline"]
    head = ["arm", "seeds", "tokens"]
    for metric, better in metrics.items():
        head += [f"{metric}, {BETTER[better]}", f"minus {baseline}", "p"]
    figures = settings["figures"]
    head += list(figures)
    rows = [_row(arm, arms[arm], metrics, figures) for arm in settings["arms"]]
    rows.append(_row("(before fine-tuning)", summary["base"], metrics, figures))
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    share, missing, seeds = f"{settings['confidence']:.0%}", summary["missing"], ", ".join(map(str, settings["seeds"]))
    remarks = [
        f"- {summary['about']}",
        f"- {len(settings['targets'])} target tasks, seeds {seeds}, profile {settings['profile']}.",
        f"- Intervals: {share}, tasks and seeds both drawn (with one seed: over tasks); differences are paired by task and seed."
        f" p: two-sided, corrected by Holm for all arms against {baseline}, each metric for itself.",
        _token_remark(arms),
        *_tuned_remarks(summary["tuned"]),
    ]
    if any("*" in remark for remark in remarks):
        remarks.append("- *: the least or the greatest of the values tried; a better one may lie beyond.")
    if missing:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        remarks.append(f"- INCOMPLETE, {len(missing)} experiment(s) are missing: {reasons}.")
    return "\n".join([f"## Sweep {summary['sweep']}", "", *lines, "", *remarks, *effects_table(summary)])
