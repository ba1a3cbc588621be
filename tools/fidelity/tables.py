"""The report of the comparison as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def interval(summary: Mapping[str, Any], scale: float) -> str:
    """`mean (low to high)`."""
    low, high = (summary["low"], summary["high"])
    bounds = "" if low is None else f" ({scale * low:.2f} to {scale * high:.2f})"
    return f"{scale * summary['mean']:.2f}{bounds}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def held_out(report: Mapping[str, Any], scale: float) -> str:
    """Overlaps on the halves that settings were not chosen on."""
    rows = []
    for name, choices in report["held_out"].items():
        for how, rules in choices.items():
            for rule, result in rules.items():
                for kind, groups in result["measured"].items():
                    for group, summary in groups.items():
                        low, mean, high = (f"{scale * value:.2f}" for value in summary["splits"])
                        spread = f"{low} to {high}, mean {mean}"
                        rows.append((name, how, rule, kind, group, interval(summary, scale), spread))
    return table(("encoder", "choice", "rule", "list", "targets", "held out (95 %)", "20 splits"), rows)


def chosen(report: Mapping[str, Any]) -> str:
    """Which settings the halves of the first split chose: how many tie, and the first of them."""
    rows = [
        (name, how, rule, str(half + 1), str(len(settings)), settings[0])
        for name, choices in report["held_out"].items()
        for how, rules in choices.items()
        for rule, result in rules.items()
        for half, settings in enumerate(result["chosen"])
    ]
    return table(("encoder", "choice", "rule", "half", "tied", "first of them"), rows)


def changes(report: Mapping[str, Any], scale: float) -> str:
    """What one change of the reference does, largest mean over the groups first."""
    groups = report["factors"]
    names = [name for name in next(iter(groups.values())) if all(name in rows for rows in groups.values())]
    names.sort(key=lambda name: -sum(rows[name]["mean"] for rows in groups.values()))
    rows = [(name, *(interval(groups[group][name], scale) for group in groups)) for name in names]
    return table((f"instead, in {report['reference']['setting']}", *groups), rows)


def development(report: Mapping[str, Any]) -> str:
    """Pearson and AUC on unseen tasks, by alignment."""
    rows = [
        (name, str(number), f"{scores['pearson']:.3f}", f"{scores['auc']:.3f}")
        for name, runs in report["alignment"]["development"].items()
        for number, scores in enumerate(runs)
    ]
    return table(("alignment", "run", "Pearson", "AUC"), rows)


def aligned(report: Mapping[str, Any], scale: float) -> str:
    """What alignment does to the reference, paired over targets."""
    change = report["alignment"]["change"]
    names = next(iter(change.values()))
    return table(("alignment", *change), [(name, *(interval(rows[name], scale) for rows in change.values())) for name in names])


def p3(report: Mapping[str, Any]) -> str:
    """The P3 and BIG-bench part."""
    fixed = {"first look": report["first_look"], "reference": report["reference"]["overlap"], **report["alignment"]["overlap"]}
    rows = [
        (name, *(interval(summary, 1) for groups in lists.values() for summary in groups.values()))
        for name, lists in fixed.items()
    ]
    columns = [f"{kind}, {group}" for kind, groups in report["first_look"].items() for group in groups]
    few = [(count, *(interval(summary, 1) for summary in result.values())) for count, result in report["few_prompts"].items()]
    parts = [
        f"## P3 and BIG-bench: tasks shared of 5; chance {report['chance']:.2f}; settings tried {report['settings']}",
        held_out(report, 1),
        chosen(report),
        f"Fixed settings (seen by whoever chose them). Reference: {report['reference']['setting']}.",
        table(("setting", *columns), rows),
        changes(report, 1),
        development(report),
        aligned(report, 1),
        "Lists made with fewer wordings of the target: ours and the published one, ours and ours with all, the published ones.",
        table(("wordings", *next(iter(report["few_prompts"].values()))), few),
    ]
    return "\n\n".join(parts)


def superni(report: Mapping[str, Any]) -> str:
    """The SuperNI and BIG-Bench-Hard part."""
    fixed = {"unaligned, " + report["reference"]["setting"]: report["reference"]["overlap"], **report["alignment"]["overlap"]}
    rows = [(name, *(interval(summary, 100) for summary in groups.values())) for name, groups in fixed.items()]
    parts = [
        f"## SuperNI and BIG-Bench-Hard: % of 70 shared; chance {100 * report['chance']:.1f}; settings {report['settings']}",
        held_out(report, 100),
        chosen(report),
        table(("setting", *report["groups"]), rows),
        changes(report, 100),
        development(report),
        aligned(report, 100),
    ]
    return "\n\n".join(parts)
