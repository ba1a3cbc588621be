"""Every selector on one bed: what it chooses by the real stages, in how many seconds and floating-point operations.

Selectors that compare the same vectors form a group: their vectors are made once, and their cost counts for each of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from instune.results import read_json
from instune.selection.rank import Aggregation
from tools.bed import MODEL, POOL, TASKS, Time, changed, embedding_cache, run_stage, write_params

SEEDS = range(5)  # of whatever draws or trains
EPOCHS, INPUTS = 5, 8  # of alignment (INSTA-Aligned); examples of each task, where examples are compared
EMBEDDINGS, MODEL_EMBEDDINGS = "data/embeddings.parquet", "data/model_embeddings.parquet"
Run = dict[str, Any]  # {"chosen": {target: [source task, best first]}, "seconds", "cpu_seconds", "flops", "on": device}


@dataclass(frozen=True)
class Group:
    """Selectors that compare the same vectors.

    Attributes:
        vectors: what is compared: wording, aligned, example, hidden_state, gradient; None where there is nothing to encode.
        selectors: name -> changes of the section `select`.
        seeds: of the runs.
    """

    vectors: str | None
    selectors: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...] = (0,)


def _wordings(name: str) -> dict[str, dict[str, Any]]:
    return {f"{name}, {kind}": {"method": "instruction", "aggregation": kind} for kind in get_args(Aggregation)}


GROUPS = (  # examples first, on every bed: select_tasks reads the table of wordings, whatever chooses
    Group("example", {"examples": {"method": "examples"}}),
    Group("wording", _wordings("instruction")),
    Group(None, {"random": {"method": "random"}, "category (oracle)": {"method": "category"}}, tuple(SEEDS)),
    Group(None, {"all": {"method": "all"}, "bm25": {"method": "bm25"}}),
    Group("hidden_state", {"hidden_states": {"method": "hidden_states"}}),
    Group("gradient", {"gradient": {"method": "gradient"}}),
    Group("aligned", _wordings("aligned"), tuple(SEEDS)),
)
WITHOUT_EXAMPLES = (None, "wording", "aligned")  # vectors of groups that choose the same on beds with the same wordings


def _align(work: Path) -> tuple[Time, dict[str, Any]]:
    time = run_stage(work, "align", "--tasks", str(TASKS), "--out", "selector", "--report", "align.json")
    return time, read_json(work / "align.json")


def _embed(work: Path) -> tuple[Time, dict[str, Any]]:
    files = ["--selector", "selector", "--out", EMBEDDINGS, "--report", "embed.json"]
    time = run_stage(work, "embed", *POOL, *files)
    return time, read_json(work / "embed.json")["kinds"]


def alignment_flops(per_text: float, pairs: Mapping[str, int], epochs: int, wordings: int) -> int:
    """Estimated operations of an alignment.

    A step forward and back is three passes; both texts of every development pair are encoded before the first epoch and after
    each; all wordings once, to find negatives.

    Args:
        per_text: operations of encoding a wording of mean length.
        pairs: {"train", "development"}, numbers of pairs.
        wordings: at most so many are compared for negatives.
    """
    texts = 3 * 2 * pairs["train"] * epochs + 2 * pairs["development"] * (epochs + 1) + wordings
    return round(per_text * texts)


def make_vectors(work: Path, params: Mapping[str, Any], vectors: str) -> tuple[Time, int]:
    """Encode from nothing, with an empty cache; returns time and operations."""
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    with embedding_cache(cache):
        if vectors in ("hidden_state", "gradient"):
            write_params(work, changed(params, {"embed_model": {"kinds": [vectors], "examples": INPUTS}}))
            files = ["--model", str(MODEL), "--out", MODEL_EMBEDDINGS, "--report", "embed_model.json"]
            time = run_stage(work, "embed_model", *POOL, *files)
            return time, read_json(work / "embed_model.json")["flops"][vectors]
        epochs = EPOCHS if vectors == "aligned" else 0
        sections = {"align": {"epochs": epochs}, "embed": {"inputs": 0}}
        write_params(work, changed(params, sections))
        time, report = _align(work)
        encoding, costs = _embed(work)
        flops = costs["wording"]["flops"]
        if vectors == "example":  # the wordings, which the stage encodes too, now come from the cache
            write_params(work, changed(params, sections | {"embed": {"inputs": INPUTS}}))
            encoding, costs = _embed(work)
            flops = costs["example"]["flops"]
        if vectors == "aligned":
            texts = costs["wording"]["texts"]
            flops += alignment_flops(flops / texts, report["pairs"], EPOCHS, texts)
        return time + encoding, flops


def select(work: Path, params: Mapping[str, Any]) -> tuple[dict[str, list[str]], Time, int]:
    """What one selector chooses for each target, and time and operations of choosing alone."""
    write_params(work, params)
    files = ["--embeddings", EMBEDDINGS, "--model-embeddings", MODEL_EMBEDDINGS]
    time = run_stage(work, "select_tasks", *POOL, *files, "--out", "selection.json", "--details", "details.json")
    selection = read_json(work / "selection.json")
    chosen = {target: [choice["task_id"] for choice in choices] for target, choices in selection["targets"].items()}
    return chosen, time, selection["cost"]["flops"]


def run_group(work: Path, params: Mapping[str, Any], group: Group, seed: int) -> dict[str, Run]:
    """Every selector of the group under one seed, with the cost of its vectors.

    Args:
        work: a folder with a bed.
        params: all sections.
    """
    params, runs = changed(params, {"seed": seed}), {}
    on = f"{'cuda' if torch.cuda.is_available() else 'cpu'}, {torch.get_num_threads()} thread(s)"
    before, operations = make_vectors(work, params, group.vectors) if group.vectors else (Time(), 0)
    for name, changes in group.selectors.items():
        chosen, time, flops = select(work, changed(params, {"select": changes}))
        time += before
        runs[name] = {"chosen": chosen, "seconds": time.clock, "cpu_seconds": time.cpu, "flops": flops + operations, "on": on}
    return runs
