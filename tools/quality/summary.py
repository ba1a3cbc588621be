"""From what was chosen to means with intervals: pure functions.

The unit is the target task. Runs of a selector under several seeds are averaged first, then beds (seeds of the playground); the t
interval is over targets. How much the mean moves from bed to bed is told apart from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean, stdev
from typing import Any

from instune.evaluation.statistics import over_tasks, paired
from instune.selection.quality import Gains, gains, ndcg, precision, regret

TRUTHS = {"nll": 1, "exact_match": -1}  # measure of the transfer matrix -> 1 where less is better, -1 where more is
MEASURES = {"regret": regret, "precision": precision, "ndcg": ndcg}
REFERENCES = {"random": "random", "instruction": "instruction, vote"}  # what others are compared with -> its selector

ByTarget = dict[str, float]
Scores = dict[str, dict[str, ByTarget]]  # selector -> "<measure>_<truth>" -> target -> value


def truths(transfer: Mapping[str, Any], measure: str) -> dict[str, Gains]:
    """Target -> gain of every source task; targets that no family helps are left out.

    Args:
        transfer: the content of a transfer matrix.
        measure: nll or exact_match.
    """
    sign, found = TRUTHS[measure], {}
    for target, base in transfer["base"].items():
        rows = {family: sign * row[target][measure] for family, row in transfer["families"].items()}
        truth = gains(transfer["tasks"], sign * base[measure], rows)
        if max(truth.values()) > 0:
            found[target] = truth
    return found


def score(chosen: Sequence[str], truth: Gains, measure: str, top_k: int) -> float:
    """One measure of one choice; regret is against the best `top_k` tasks however many were chosen."""
    return regret(chosen, truth, top_k) if measure == "regret" else MEASURES[measure](chosen, truth)


def score_bed(runs: Mapping[str, Mapping[str, Mapping[str, Any]]], transfer: Mapping[str, Any], *, top_k: int) -> Scores:
    """Every measure of every selector on one bed, mean over the selector's seeds; no nDCG of a choice without a first `top_k`.

    Args:
        runs: selector -> seed -> {"chosen": {target: [source task, best first]}}.
        transfer: the bed's transfer matrix.
        top_k: source tasks per target.
    """
    known, scores = {measure: truths(transfer, measure) for measure in TRUTHS}, {}
    for selector, by_seed in runs.items():
        scores[selector] = {f"{name}_{measure}": {} for name, measure in product(MEASURES, TRUTHS)}
        for name, measure in product(MEASURES, TRUTHS):
            for target, truth in known[measure].items():
                choices = [run["chosen"][target] for run in by_seed.values()]
                if name != "ndcg" or all(len(chosen) == top_k for chosen in choices):
                    values = [score(chosen, truth, name, top_k) for chosen in choices]
                    scores[selector][f"{name}_{measure}"][target] = fmean(values)
    return scores


def best_precision(transfer: Mapping[str, Any], top_k: int) -> float:
    """Precision by NLL of the best `top_k` source tasks, mean over targets: below 1 where fewer help."""
    known = truths(transfer, "nll").values()
    return fmean(precision(sorted(truth, key=lambda task: -truth[task])[:top_k], truth) for truth in known)


def over_beds(beds: Mapping[int, ByTarget]) -> ByTarget:
    """Mean of every target over the beds on which it has a value."""
    targets = sorted({target for values in beds.values() for target in values})
    return {target: fmean(values[target] for values in beds.values() if target in values) for target in targets}


def _spread(beds: Mapping[int, ByTarget]) -> dict[str, Any]:
    """Mean over targets on each bed, and the standard deviation of these means."""
    means = {str(seed): fmean(values.values()) for seed, values in beds.items() if values}
    return {"beds": means, "bed_deviation": stdev(means.values()) if len(means) > 1 else None}


def _cost(beds: Mapping[int, Mapping[str, Mapping[str, Any]]], selector: str) -> dict[str, Any]:
    """Of one run, the mean over seeds and beds."""
    runs = [run for by_selector in beds.values() for run in by_selector[selector].values()]
    return {
        "runs": len(runs) // len(beds),
        "seconds": fmean(run["seconds"] for run in runs),
        "cpu_seconds": fmean(run["cpu_seconds"] for run in runs),
        "flops": round(fmean(run["flops"] for run in runs)),
    }


def summarize(
    beds: Mapping[int, Scores], runs: Mapping[int, Mapping[str, Mapping[str, Any]]], confidence: float
) -> dict[str, dict[str, Any]]:
    """Selector -> {"measures": {name: summary}, "runs" per bed, "seconds", "cpu_seconds" and "flops" of one run}.

    A summary holds the mean over targets with its interval, `targets`, the value of each; `beds`, the mean on each; their
    standard deviation; and, paired by target, the difference to each of `REFERENCES`.

    Args:
        beds: seed of the playground -> scores.
        runs: seed of the playground -> runs as `score_bed` takes them, with their costs.
        confidence: of the intervals.
    """
    selectors = next(iter(beds.values()))
    measures = {
        selector: {name: {seed: scores[selector][name] for seed, scores in beds.items()} for name in names}
        for selector, names in selectors.items()
    }
    means = {selector: {name: over_beds(values) for name, values in names.items()} for selector, names in measures.items()}
    summary: dict[str, dict[str, Any]] = {}
    for selector, names in means.items():
        summary[selector] = {"measures": {}, **_cost(runs, selector)}
        for name, values in names.items():
            if not values:
                continue
            differences = {
                reference: paired(values, means[other][name], confidence)
                for reference, other in REFERENCES.items()
                if other != selector
            }
            summary[selector]["measures"][name] = {
                **over_tasks(values, confidence),
                "targets": values,
                **_spread(measures[selector][name]),
                "minus": differences,
            }
    return summary
