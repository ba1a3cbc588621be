"""What a sweep will cost in tokens and FLOPs, from its parameters: pure functions.

A model of N parameters takes 6 N operations per token to train and 2 N to read or write (arXiv 2001.08361, section 2.1; those of
attention's context are left out). Stages that experiments share run once, as DVC's run cache has it: a job is a stage with the
parameters that it and the stages before it read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TRAIN, READ = 6, 2  # operations per parameter and token
POOL = ("playground", "pools", "ingest", "targets")
BASE = (*POOL, "base_model")
CHOSEN = (*BASE, "align", "embed", "embed_model", "select", "prompt", "seed")
OPTIMIZED = (*CHOSEN, "optimize")
TUNED = (*OPTIMIZED, "finetune")
ORDER = ("base_model", "optimize_instructions", "finetune", "evaluate")
PRODUCTS = {"identity": (0, 1), "neumann": (1, 1), "conjugate_gradient": (1, 1), "unrolled": (1, 0)}  # per term, and besides


@dataclass(frozen=True)
class Known:
    """What parameters alone do not tell; None: unknown.

    Attributes:
        parameters: of the base model.
        target_tasks: that are scored.
        row_tokens: mean length of a training row.
    """

    parameters: int | None = None
    target_tasks: int | None = None
    row_tokens: float | None = None


@dataclass(frozen=True)
class Job:
    """A stage's work.

    Attributes:
        tokens: that pass through the model; None: unknown.
        per_token: operations per parameter and token.
        parameters: of the model; None: unknown.
    """

    stage: str
    tokens: int | None
    per_token: int
    parameters: int | None

    @property
    def flops(self) -> int | None:
        """Operations, None where tokens or parameters are unknown."""
        return None if self.tokens is None or self.parameters is None else self.per_token * self.parameters * self.tokens


@dataclass(frozen=True)
class Cost:
    """Of several jobs.

    Attributes:
        tokens: stage -> tokens of its jobs that are known.
        flops: of the jobs that are known.
        unknown: stages of which a job is unknown.
    """

    tokens: dict[str, int] = field(default_factory=dict)
    flops: int = 0
    unknown: list[str] = field(default_factory=list)

    @property
    def all_tokens(self) -> int:
        """Tokens of all stages."""
        return sum(self.tokens.values())


def scratch_parameters(base_model: Mapping[str, Any]) -> int:
    """Parameters of a Llama trained from scratch with tied embeddings, its vocabulary full."""
    hidden, layers = base_model["hidden_size"], base_model["layers"]
    attention, mlp, norms = 4 * hidden**2, 3 * hidden * 4 * hidden, 2 * hidden
    return base_model["vocab_size"] * hidden + layers * (attention + mlp + norms) + hidden


def _finetune(params: Mapping[str, Any], known: Known) -> int | None:
    """The budget; without one, the rows that are chosen, targets that choose the same ones counted twice."""
    own, part = params["finetune"], params["select"]["examples_per_task"]
    if own["max_tokens"] is not None:
        return own["max_tokens"] * own["epochs"]
    if part is None or known.target_tasks is None or params["select"]["method"] == "all":
        return None
    rows = known.target_tasks * params["select"]["top_k"] * part["count"]
    return round(rows * (known.row_tokens or params["prompt"]["max_tokens"]) * own["epochs"])


def _optimize(params: Mapping[str, Any], known: Known) -> int:
    """Every gradient of the loop: inner steps, the outer gradient, two for each product."""
    own = params["optimize"]
    if own["method"] == "human" or (own["method"] == "extractor_direct" and own["extractor"]["choose"] != "learned"):
        return 0
    term, besides = PRODUCTS[own["solver"]]
    products = term * own["terms"] + besides
    rows = own["inner_steps"] * own["batch_size"] + own["meta_batch_size"] + 2 * products * own["batch_size"]
    return round(own["folds"] * own["outer_steps"] * rows * (known.row_tokens or params["prompt"]["max_tokens"]))


def _validate(params: Mapping[str, Any], known: Known) -> int:
    """The loop's validation, before its first step and after every so many; it may stop sooner."""
    own = params["optimize"]["validation"]
    if own is None or _optimize(params, known) == 0:
        return 0
    times = params["optimize"]["outer_steps"] // own["every"] + 1
    return round(params["optimize"]["folds"] * times * own["rows"] * (known.row_tokens or params["prompt"]["max_tokens"]))


def _evaluate(params: Mapping[str, Any], known: Known) -> int | None:
    """Every prompt is read twice, for the answer and for the likelihood of the reference."""
    if known.target_tasks is None:
        return None
    per_example = 2 * (known.row_tokens or params["prompt"]["max_tokens"]) + params["evaluate"]["max_new_tokens"]
    return round(known.target_tasks * params["targets"]["examples_per_task"] * per_example)


def _pretrain(params: Mapping[str, Any]) -> int:
    base = params["base_model"]
    return base["steps"] * base["batch_size"] * base["length"] if base["source"] == "from_scratch" else 0


def jobs(params: Mapping[str, Any], known: Known, last: str = ORDER[-1]) -> dict[str, Job]:
    """The work of one experiment by a key that is the same wherever the work is.

    Args:
        last: the stage that it ends with.
    """
    answers, size = _evaluate(params, known), known.parameters
    work = [
        ("base_model", BASE, _pretrain(params), TRAIN),
        ("optimize_instructions", OPTIMIZED, _optimize(params, known), TRAIN),
        ("optimize_instructions validation", OPTIMIZED, _validate(params, known), READ),
        ("finetune", TUNED, _finetune(params, known), TRAIN),
        ("evaluate base", (*BASE, "prompt", "seed", "evaluate"), answers, READ),
        ("evaluate tuned", (*TUNED, "evaluate"), answers, READ),
    ]
    found = {}
    for stage, sections, tokens, per_token in work:
        if stage.partition(" ")[0] not in ORDER[: ORDER.index(last) + 1]:
            continue
        read = json.dumps([stage, {name: params[name] for name in sections}], sort_keys=True)
        found[hashlib.sha256(read.encode()).hexdigest()] = Job(stage.partition(" ")[0], tokens, per_token, size)
    return found


def total(work: Iterable[Job]) -> Cost:
    """The sum of jobs."""
    tokens, flops, unknown = {}, 0, set()
    for job in work:
        if job.tokens is None or (job.flops is None and job.tokens):
            unknown.add(job.stage)
        tokens[job.stage] = tokens.get(job.stage, 0) + (job.tokens or 0)
        flops += job.flops or 0
    return Cost({stage: count for stage, count in tokens.items() if count}, flops, sorted(unknown))
