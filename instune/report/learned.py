"""What the page says about learned instructions: soft prompts in words, chosen exemplars, weights of tasks, how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from instune.report import tables

SHOWN_TASKS = 10  # in the open; the others unfold
SHOWN_TOKENS = 16  # of a soft prompt
SHOWN_TEXT = 160  # characters of an exemplar's input or output


def _nearest(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, list[str], tables.Rows]:
    rows = []
    for task_id, tokens in sorted(found.items()):
        mean = fmean(token["cosine"] for token in tokens)
        said = " ".join(repr(token["token"])[1:-1] for token in tokens[:SHOWN_TOKENS])
        rows.append([task_id, said + (" …" if len(tokens) > SHOWN_TOKENS else ""), tables.cosine(mean)])
    caption = "The vocabulary's nearest token to every soft token; at a low mean cosine these words do not say what it does"
    return caption, ["task", "nearest tokens", "mean cosine"], rows


def _exemplars(settings: Mapping[str, Any]) -> tuple[str, list[str], tables.Rows]:
    rows = []
    for task_id, candidates in sorted(settings["candidates"].items()):
        if "chosen" in settings:  # by row: no order of the task's own
            candidates = sorted(candidates, key=lambda one: -sum(one["probability"]))
        for place, one in enumerate(candidates[: settings["exemplars"]]):
            shares = ", ".join(f"{share:.2f}" for share in one["probability"])
            rows.append([f"{task_id}, {place + 1}" if settings["exemplars"] > 1 else task_id, _short(one), shares])
    caption = "The exemplars that stand in each task's prompts"
    if settings["draw_seed"] is not None:
        caption = "The first of each task's candidates, of which every row draws its exemplars"
    elif "chosen" in settings:
        caption = "The most probable exemplars of each task; every row has its own choice (data/instructions/instructions.json)"
    return caption, ["task", "exemplar", "probability by place"], rows


def _short(exemplar: Mapping[str, Any]) -> str:
    parts = (exemplar["input"], exemplar["output"])
    return " → ".join(part if len(part) <= SHOWN_TEXT else part[:SHOWN_TEXT].rstrip() + "…" for part in parts)


def _weights(weights: Mapping[str, float]) -> tuple[str, list[str], tables.Rows]:
    order = sorted(weights, key=lambda task_id: (-weights[task_id], task_id))
    rows = [[task_id, f"{weights[task_id]:.3f}"] for task_id in order]
    return "Learned weight of each task, 1 on average: how often finetune draws it", ["task", "weight"], rows


def what(instructions: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of what was learned: caption, head, the rows in the open, the others; None where all stayed human.

    Args:
        instructions: data/instructions/instructions.json.
    """
    settings = instructions.get("settings", {})
    if "weights" in settings:
        caption, head, rows = _weights(settings["weights"])
    elif "candidates" in settings and settings["exemplars"]:
        caption, head, rows = _exemplars(settings)
    elif "nearest_tokens" in instructions:
        caption, head, rows = _nearest(instructions["nearest_tokens"])
    else:
        return None
    return {"caption": caption, "head": head, "shown": rows[:SHOWN_TASKS], "more": rows[SHOWN_TASKS:], "texts": len(head) - 1}


def checks(optimize: Mapping[str, Any]) -> list[str]:
    """Sentences about exactness of the hypergradients and about outer validation.

    Args:
        optimize: reports/optimize.json.
    """
    said = []
    for number, fold in enumerate(optimize.get("folds", [])):
        if agreement := fold.get("agreement"):
            noise = agreement.get("cosine_of_two_batches")
            said.append(
                f"Fold {number}, at its start: cosine of the hypergradient to float32 double backward {agreement['cosine']:.4f},"
                f" norm ratio {agreement['norm_ratio']:.4f}"
                + (f"; between two batches {noise:.4f}." if noise is not None else ".")
            )
        if kept := fold.get("validation"):
            said.append(
                f"Fold {number}: the loss on {len(fold['validation_tasks'])} tasks that neither level trained on was"
                f" {kept['first']:.4f} at first, {kept['best']:.4f} after step {kept['best_step']} of {kept['steps']}, which was"
                f" kept, and {kept['last']:.4f} at the end."
            )
    return said
