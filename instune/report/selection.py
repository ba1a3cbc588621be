"""What the page says about the choice of source tasks: how it was made, what it rests on, how far it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instune.report import tables
from instune.report.selection_pictures import heat, plane

SHOWN_TASKS = 10  # selected tasks per target; the rest stand in data/selection.json
SHOWN_TARGETS = 20  # in the table of targets; the others unfold
SHOWN_TEXT = 150  # characters of a wording in the open; the whole unfolds
SHOWN_CUT = 20  # tasks with truncated wordings, by name

DRAWN = {
    "random": "The tasks were drawn by seed and target: there are no scores and no margins, and no wording plays a part.",
    "all": "Every source task was taken: there are no scores and no margins, and no wording plays a part.",
    "category": "An oracle: tasks of the target's own category, drawn by seed and target, and of others where these are too few."
    " There are no scores or margins.",
}
EXAMPLES = {
    "examples": "the encoder's vectors of inputs",
    "hidden_states": "the base model's hidden states over examples",
    "gradient": "the base model's gradients on examples",
}
AGGREGATED = {
    "vote": "the highest {unit} of a wording of the target with a wording of the task",
    "max": "the highest {unit} of a wording of the target with a wording of the task",
    "mean": "the mean {unit} over all pairs of a wording of the target and one of the task",
    "mean_of_max": "the mean over the target's wordings of the highest {unit} with a wording of the task",
}
VOTES = "A vote at rank r: a wording of the target ranks a wording of the task as its r-th nearest; votes come before scores."
SHARE = "The share, 0 to 1, is BM25 for the words of the target's wording over the most that they can reach; it is no cosine."
MARGIN = "The margin is the gap in score at the cut{below}, – where nothing was cut."


def unit(method: str) -> str:
    """What two wordings, or two tasks, are compared by."""
    return "share" if method == "bm25" else "cosine"


def sentences(selection: Mapping[str, Any], select: Mapping[str, Any]) -> list[str]:
    """How the tasks were found and what the numbers mean.

    Args:
        selection: data/selection.json.
        select: the parameters.
    """
    method = selection["method"]
    if method in DRAWN:
        return [DRAWN[method]]
    if method in EXAMPLES:
        said = [
            f"The score is the cosine between the target's mean and the task's of {EXAMPLES[method]}.",
            MARGIN.format(below=""),
            "No wordings are compared, so none matched best, and leaving one out would change nothing.",
        ]
        if selection["unranked"]:
            said.append(f"Source tasks without embedded examples, which could not be chosen: {selection['unranked']}.")
        return said
    votes = select["aggregation"] == "vote"
    said = [f"The score is {AGGREGATED[select['aggregation']].format(unit=unit(method))}."]
    said += [SHARE] if method == "bm25" else []
    said += [VOTES] if votes else []
    return [*said, MARGIN.format(below=", below 0 where votes overrule scores" if votes else "")]


def targets(selection: Mapping[str, Any], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per target: its best tasks as table rows, the pairs of wordings, and how many more tasks there are."""
    scored = selection["method"] not in DRAWN
    found = []
    for target, ranked in sorted(selection["targets"].items()):
        rows = [[one["task_id"], tables.cosine(one["score"])] for one in ranked[:SHOWN_TASKS]] if scored else []
        voted = any(one["votes"] for one in ranked)
        pairs = [
            {
                "task_id": pair["task_id"],
                "target": text(pair["target_wording"]),
                "source": text(pair["source_wording"]),
                "score": tables.cosine(pair["score"]),
            }
            for pair in details["matches"].get(target, [])[:SHOWN_TASKS]
        ]
        found.append(
            {
                "target": target,
                "head": ["task", "score", *(["votes"] if voted else [])],
                "rows": [row + ([tables.votes(one["votes"])] if voted else []) for row, one in zip(rows, ranked, strict=False)],
                "names": [one["task_id"] for one in ranked],
                "more": max(0, len(ranked) - SHOWN_TASKS),
                "margin": tables.cosine(selection["margin"][target]),
                "filled": selection["filled"].get(target, 0),
                "pairs": pairs,
            }
        )
    return found


def text(whole: str) -> dict[str, str]:
    """A text as its visible beginning and, where that is not all, the whole."""
    if len(whole) <= SHOWN_TEXT:
        return {"start": whole, "whole": ""}
    return {"start": whole[:SHOWN_TEXT].rstrip() + "…", "whole": whole}


def overview(selection: Mapping[str, Any], details: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    """Head and rows of the table of targets, the first rows in the open.

    A row: target, the scores of its first and its last task, the margin; where any target has it, the mean and the least overlap
    without one wording; where the encoder was aligned by several seeds, the mean overlap of their choices.
    """
    rows, held = [], details["stability"]
    known = any(held.values())
    for target, ranked in sorted(selection["targets"].items()):
        row = [target, *(tables.cosine(ranked[place]["score"]) for place in (0, -1)), tables.cosine(selection["margin"][target])]
        if known:
            row += ["–", "–"] if held[target] is None else [f"{100 * held[target][name]:.0f} %" for name in ("mean", "min")]
        if again["overlap"]:
            row.append(f"{100 * again['overlap'][target]:.0f} %")
        rows.append(row)
    head = ["target", "first score", "last score", "margin", *(["overlap, mean", "overlap, least"] if known else [])]
    head += [f"overlap of {again['choices']} alignments"] if again["overlap"] else []
    return {"head": head, "shown": rows[:SHOWN_TARGETS], "more": rows[SHOWN_TARGETS:]}


def cut(selection: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """The truncated instructions of targets and chosen tasks by name, and how many there are in all."""
    named = [
        f"{task_id} (wording {', '.join(str(place + 1) for place in places)})" for task_id, places in details["truncated"].items()
    ]
    return {"all": selection["truncated"], "named": named[:SHOWN_CUT], "more": max(0, len(named) - SHOWN_CUT)}


def aligned(report: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """What alignment did to the encoder, by pairs of tasks that it did not learn; empty where it was not aligned."""
    if not report["epoch"]:
        return ""
    scores = [
        f"{said} {report['before'][key]:.3f} → {report['after'][key]:.3f}"
        for said, key in (("Pearson", "pearson"), ("AUC", "auc"))
    ]
    said = (
        f"The encoder was aligned on {tables.plain(report['pairs']['train'])} pairs (alike: {report['alike']}); epoch"
        f" {report['epoch']} was kept. On {tables.plain(report['pairs']['development'])} pairs of tasks set apart, cosine against"
        f" same or other: {', '.join(scores)}."
    )
    others = [score["auc"] for score in again["development"]]
    return said + (f" By other seeds the AUC after alignment is {min(others):.3f} to {max(others):.3f}." if others else "")


def view(
    selection: Mapping[str, Any],
    details: Mapping[str, Any],
    select: Mapping[str, Any],
    align: Mapping[str, Any],
    again: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything about the choice.

    Args:
        selection: data/selection.json.
        details: data/selection_details.json.
        select: the parameters.
        align: reports/align.json.
        again: data/align_stability.json.
    """
    return {
        "method": selection["method"],
        "unit": unit(selection["method"]),
        "sentences": sentences(selection, select),
        "selected": selection["selected"],
        "scored": selection["method"] not in DRAWN,
        "compared": bool(details["matches"]),
        "aligned": aligned(align, again) if selection["method"] == "instruction" else "",
        "overview": overview(selection, details, again),
        "stability": any(details["stability"].values()),
        "alignments": again["choices"] if again["overlap"] else 0,
        "targets": targets(selection, details),
        "cut": cut(selection, details),
        "heat": heat(selection, details),
        "map": plane(details),
    }
