"""Describe tasks by a few of their examples, as the base model sees them; with `embed_model.kinds: []` write an empty table.

Reads
    data/models/base/             the base model
    data/pool/tasks.parquet, examples.parquet   the last examples of source and target tasks; the first of a target are evaluated
    params.yaml                   `embed_model`, `prompt`, `targets`, `seed`
    <user's cache>/instune/embeddings/   vectors of former runs, keyed by a task's rows, the model and the method; may be deleted
                                  at any time
Writes
    data/model_embeddings.parquet task_id, kind ("hidden_state", "gradient"), index of the example, vector (unit length,
                                  float32, d), truncated
    reports/embed_model.json      examples, tokens, what was dropped; per kind the estimated floating-point operations, and how
                                  many examples were truncated
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import peft
import torch
import transformers
from pydantic import PositiveInt
from transformers import PreTrainedModel

from instune import config, model_checks, models
from instune.config import Section
from instune.devices import alone
from instune.errors import InputError
from instune.prompts import Prompt, load_template
from instune.records import read_examples, read_tasks
from instune.results import write_json
from instune.selection import cost, model_rows, table
from instune.selection.cache import EmbeddingCache, default_folder
from instune.selection.examples import last_examples
from instune.selection.gradients import GRADIENT_VERSION, gradients, trained, with_adapters
from instune.selection.hidden_states import HIDDEN_STATE_VERSION, hidden_states
from instune.targets import Targets, source_tasks, target_tasks
from instune.tuning.labels import loss_weights
from instune.tuning.rows import RowBuilder
from stages.command import run

ROWS_AT_ONCE = 128
FLOATS_AT_ONCE = 100_000_000  # of gradients that wait for their projection


class Gradient(Section):
    """Of kind gradient."""

    rank: PositiveInt  # of the LoRA weights
    dimension: PositiveInt  # of the random projection


class Params(Section):
    """Parameters of embed_model."""

    kinds: list[Literal["hidden_state", "gradient"]]  # []: none, and the next ones without use
    examples: PositiveInt  # the last so many of each task
    batch_tokens: PositiveInt  # padded tokens per pass of hidden_state; gradient takes one example at a time
    precision: models.Precision
    gradient: Gradient


SECTIONS = {"embed_model": Params, "prompt": Prompt, "targets": Targets, "seed": int}


def _setting(folder: Path, model: PreTrainedModel, precision: models.Precision) -> str:
    """What vectors of any kind depend on beside their rows: weights, configuration without its place, device, libraries."""
    values = json.loads(model.config.to_json_string(use_diff=False))
    configuration = json.dumps({key: value for key, value in values.items() if key != "_name_or_path"}, sort_keys=True)
    dtype = models.autocast_dtype(model.device, precision)
    setting = f"weights {models.weights_hash(folder)}, configuration {configuration}, {model.device.type}, {dtype}, "
    return setting + f"torch {torch.__version__}, transformers {transformers.__version__}"


def _refuse_nothing(groups: list[model_rows.TaskRows], dropped: Mapping[str, int], params: Params) -> None:
    """Vectors are asked for, and no example is left to have one.

    Raises:
        InputError: names why the examples were dropped.
    """
    if groups:
        return
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(dropped.items()))
    raise InputError(
        f"embed_model.kinds: {params.kinds} describe tasks by the last {params.examples} examples of each, and of the"
        f" {sum(dropped.values())} that source and target tasks have none became a row ({reasons or 'the pool holds none'}).\n"
        "  Raise prompt.max_tokens, lower prompt.max_instruction_tokens and max_input_tokens, or set embed_model.kinds: []."
    )


def _compute(
    kind: str, model: PreTrainedModel, params: Params, *, pad_id: int, groups: list[model_rows.TaskRows], setting: str, seed: int
) -> tuple[table.Embeddings, int, int]:
    """Vectors of one kind, the estimated operations of computing all of them, and how many were computed now."""
    tokens, rows_at_once = sum(group.tokens for group in groups), ROWS_AT_ONCE
    body = model.get_encoder() if kind == "hidden_state" and model.config.is_encoder_decoder else model.base_model
    operations = cost.forward(cost.matrix_weights(body), tokens)
    if kind == "gradient":
        head = model.get_output_embeddings().weight.numel()
        adapted = with_adapters(model, rank=params.gradient.rank, seed=seed)
        size = sum(weight.numel() for weight in trained(adapted))
        rows_at_once = max(1, FLOATS_AT_ONCE // size)
        operations = 2 * (operations + cost.forward(head, sum(group.labels for group in groups)))  # there and back
        operations += cost.forward(size * params.gradient.dimension, sum(len(group.rows) for group in groups))
        setting += f", rank {params.gradient.rank}, dimension {params.gradient.dimension}, seed {seed}"
        setting += f", version {GRADIENT_VERSION}, peft {peft.__version__}"
        compute = partial(gradients, model=adapted, dimension=params.gradient.dimension, seed=seed, precision=params.precision)
    else:
        setting += f", batch tokens {params.batch_tokens}, version {HIDDEN_STATE_VERSION}"
        compute = partial(hidden_states, model=model, pad_id=pad_id, batch_tokens=params.batch_tokens, precision=params.precision)
    cache = EmbeddingCache(default_folder(), f"{kind}, {setting}")
    try:
        rows, new = model_rows.vectors(groups, compute, cache, kind=kind, rows_at_once=rows_at_once)
    finally:
        cache.close()
    return rows, operations, new


def _embed(values: dict[str, Any], tasks: Path, examples: Path, folder: Path) -> tuple[dict[str, table.Embeddings], dict]:
    """The rows of every kind asked for, and the report."""
    params, prompt, pool = values["embed_model"], values["prompt"], read_tasks(tasks)
    tokenizer, model = models.load_tokenizer(folder), models.load_model(folder)
    model_checks.check_positions(model.config, prompt.max_tokens)
    builder = RowBuilder(
        pool,
        tokenizer,
        load_template(prompt.template, tokenizer, seq2seq=model.config.is_encoder_decoder),
        prompt,
        weights=loss_weights("it"),
        normalize_by="weights",
        seed=values["seed"],
    )
    wanted = {*target_tasks(pool, values["targets"]), *source_tasks(pool, values["targets"])}
    groups, dropped = model_rows.build(last_examples(read_examples(examples, sorted(wanted)), params.examples), builder)
    _refuse_nothing(groups, dropped, params)
    setting = _setting(folder, model, params.precision)
    report: dict[str, Any] = {
        "tasks": len(groups),
        "without_examples": len(wanted) - len(groups),
        "examples": sum(len(group.rows) for group in groups),
        "tokens": sum(group.tokens for group in groups),
        "dropped": dict(dropped),
        "flops": {},
        "truncated": {},
    }
    kinds = {}
    for kind in sorted(set(params.kinds), reverse=True):  # gradient last: it adds adapters to the model
        start = perf_counter()
        kinds[kind], report["flops"][kind], new = _compute(
            kind, model, params, pad_id=tokenizer.pad_token_id, groups=groups, setting=setting, seed=values["seed"]
        )
        report["truncated"][kind] = int(kinds[kind].truncated.sum())
        print(f"{kind}: {new} of {report['examples']} examples computed now, {perf_counter() - start:.1f} s")
    return kinds, report


def main(*, tasks: Path, examples: Path, model: Path, out: Path, report: Path) -> None:
    """Write the table and what it cost."""
    values = config.load(SECTIONS)
    kinds, content = _embed(values, tasks, examples, model) if values["embed_model"].kinds else ({}, {})
    table.write(out, kinds)
    write_json(report, content)
    print(f"{out}: {', '.join(kinds) or 'nothing'}, as embed_model.kinds says")


if __name__ == "__main__":
    run(main, within=alone)
