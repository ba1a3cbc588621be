"""What was asked, in plain words: the target, the model, and what each method did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN_TARGETS = 3
TARGETS = {"split": "the {} split", "pool": "the pool {}", "categories": "{}", "tasks": "{}"}
SOURCES = {
    "instruction": "the {k} for each target whose instructions are most like the target's",
    "bm25": "the {k} for each target whose instructions share the most telling words with the target's",
    "examples": "the {k} for each target whose examples are most like the target's",
    "hidden_states": "the {k} for each target whose examples the base model represents most alike",
    "gradient": "the {k} for each target whose examples pull the base model most in the same direction",
    "category": "{k} for each target, drawn from the target's own category, which nobody knows beforehand",
    "random": "{k} for each target, drawn at random",
    "all": "every one there is",
}
INSTRUCTIONS = {
    "human": "the pool's own instructions",
    "embedder_direct": "soft instructions learned for each task",
    "embedder_conversion": "soft instructions that a learned map makes of a text",
    "extractor_direct": "worked examples chosen for each task by learned weights",
    "extractor_conversion": "worked examples that a learned map chooses for each row",
    "reweight": "the pool's own instructions, the tasks drawn by learned weights",
}
UNLEARNED = "worked examples that nobody learned ({})"
LOSSES = {
    "it": "loss on the outputs alone",
    "im": "loss on instructions and inputs too",
    "all": "loss on every token",
    "released_im": "loss where the IM authors' script puts it",
}
WEIGHTS = "a loss weight of its own for every part of a row"


def target_name(targets: Mapping[str, Any]) -> str:
    """The targets as a heading says them: `the test split`, `task1, task2, task3 and 9 more`."""
    values = targets["values"]
    shown = ", ".join(values[:SHOWN_TARGETS])
    if len(values) > SHOWN_TARGETS:
        shown += f" and {len(values) - SHOWN_TARGETS} more"
    return TARGETS[targets["by"]].format(shown)


def model_name(params: Mapping[str, Any]) -> str:
    """The base model's name; one that was trained here has none."""
    return params["base_model"].get("name") or "a model trained from scratch"


def _instructions(optimize: Mapping[str, Any]) -> str:
    method = optimize["method"]
    if method.startswith("extractor") and optimize["extractor"]["choose"] != "learned":
        return UNLEARNED.format(optimize["extractor"]["choose"])
    return INSTRUCTIONS[method]


def question(params: Mapping[str, Any], scores: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """The question of the run as a paragraph.

    Args:
        params: section -> parameters.
        scores: reports/scores.json.
        selection: data/selection.json.
    """
    pools = ", ".join(sorted(params["pools"]))
    select, mask = params["select"], params["finetune"]["loss_mask"]
    loss = LOSSES[mask] if isinstance(mask, str) else WEIGHTS
    asked, chosen = tasks(scores["tasks_scored"]), tasks(len(selection["selected"]), "source ")
    return (
        f"Can {model_name(params)} become better at {target_name(params['targets'])} ({asked}; "
        f"{'pool' if len(params['pools']) == 1 else 'pools'}: {pools})? It was fine-tuned on {chosen}, "
        f"{SOURCES[select['method']].format(k=select['top_k'])}; with {_instructions(params['optimize'])}; with {loss}."
    )


def tasks(count: int, kind: str = "") -> str:
    """`12 tasks`, `1 task`, `3 source tasks`."""
    return f"{count} {kind}{'task' if count == 1 else 'tasks'}"
