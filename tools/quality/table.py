"""The summary as a Markdown table, with what it does and does not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

HEAD = (
    "selector", "runs", "regret, NLL", "minus random", "minus instruction", "regret, exact match", "precision", "nDCG",
    "seconds", "CPU seconds", "FLOPs",
)  # fmt: skip


def _interval(summary: Mapping[str, Any] | None, *, sign: str = "") -> str:
    if summary is None:
        return "-"
    mean = f"{summary['mean']:{sign}.2f}"
    return mean if summary["low"] is None else f"{mean} [{summary['low']:{sign}.2f}, {summary['high']:{sign}.2f}]"


def _seconds(seconds: float) -> str:
    return f"{seconds:.{1 if seconds >= 1 else 2}f}"


def operations(flops: int) -> str:
    """As 1.2e+12, or 0."""
    return f"{flops:.1e}" if flops else "0"


def _row(name: str, selector: Mapping[str, Any], *, beds: int) -> list[str]:
    measures = selector["measures"]
    regret = measures.get("regret_nll")
    spread = f" ± {regret['bed_deviation']:.2f}" if beds > 1 and regret else ""
    minus = regret["minus"] if regret else {}
    return [
        name,
        str(selector["runs"]),
        _interval(regret) + spread,
        _interval(minus.get("random"), sign="+"),
        _interval(minus.get("instruction"), sign="+"),
        _interval(measures.get("regret_exact_match")),
        _interval(measures.get("precision_nll")),
        _interval(measures.get("ndcg_nll")),
        _seconds(selector["seconds"]),
        _seconds(selector["cpu_seconds"]),
        operations(selector["flops"]),
    ]


def by_regret(selectors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names, the lowest regret by NLL first; those without one last."""
    regrets = {name: selector["measures"].get("regret_nll", {}).get("mean") for name, selector in selectors.items()}
    return sorted(selectors, key=lambda name: (regrets[name] is None, regrets[name] or 0.0, name))


def _remarks(settings: Mapping[str, Any]) -> list[str]:
    families = Counter(settings["families"].values())
    counts = ", ".join(f"{family} {count}" for family, count in sorted(families.items()))
    several = len(settings["beds"]) > 1
    seeds, share = "mean over runs and beds" if several else "mean over runs", f"{settings['confidence']:.0%}"
    return [
        "- No fresh test: the bed was reshaped after a look at what `instruction` and `random` select on seed 0, for a visible"
        " contrast between the two, so their difference is no finding. Other seeds draw new examples for the same tasks with the"
        " same wordings: what looks at wordings alone chooses the same there, and was run once.",
        f"- Truth: each target's gain after fine-tuning on one family of source tasks alone, {settings['tokens']:,} tokens, one"
        " run per family. A choice is worth the mean of its tasks' gains; what tasks teach together is not in it, which"
        " matters most for `all`.",
        f"- Regret: 1 - gain of the choice / gain of the best {settings['top_k']} tasks; above 1 the choice harms, by NLL without"
        " bound. Precision: share of the chosen that give at least half of the best gain; the best choice"
        f" would have {settings['best_precision']:.2f}. Both, and nDCG, by NLL unless said otherwise.",
        f"- Intervals: {share}, over {len(settings['families'])} target tasks, {seeds} first; differences are paired"
        f" by target. The targets are of {len(families)} families ({counts}) and go together within one: for targets of other"
        " families the intervals are too narrow. No correction for the number of comparisons.",
        *(["- ±: standard deviation of the mean from bed to bed."] if several else []),
        "- `category` is told the families, which no selector is. Of a target, `examples` sees inputs that are not evaluated"
        f" ({settings['inputs']}), `hidden_states` and `gradient` as many with their outputs, the others its wordings alone.",
        "- Runs: seeds on each bed, where something is drawn or trained; `hidden_states` and `gradient` depend on the seed too"
        " (wordings, projection), and have one.",
        f"- Cost: one run from nothing, encoding included, libraries imported before ({'; '.join(settings['on'])};"
        " seconds hold the waiting for other work on the machine, CPU seconds hardly do); FLOPs are estimates from"
        " tokens and weights.",
    ]


def table(summary: Mapping[str, Any]) -> str:
    """Title, one row per selector by regret, and what to know beside it.

    Args:
        summary: the content of quality.json.
    """
    settings, selectors = summary["settings"], summary["selectors"]
    beds = settings["beds"]
    title = f"Playground: what the top {settings['top_k']} source tasks of each selector are worth"
    rows = [_row(name, selectors[name], beds=len(beds)) for name in by_regret(selectors)]
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ["---"] * len(HEAD), *rows)]
    seeds = f"Seed{'s' * (len(beds) > 1)} {', '.join(map(str, beds))} of the playground."
    return "\n".join([f"## {title}", "", seeds, "", *lines, "", *_remarks(settings)])
