"""Write the training rows for other trainers: ids, labels and weights of exactly the rows that finetune would train on.

Not a stage: `python -m tools.export --out rows.parquet`, after `dvc repro optimize_instructions`. The file is pre-tokenized data
for TRL's SFTTrainer and for axolotl; they read input_ids, labels and attention_mask, and know no weights but 0 and 1.

Reads:  data/selection.json; data/instructions/; data/pool/tasks.parquet, examples.parquet; data/models/base/ (tokenizer, and
        weights where instructions were learned); sections finetune, prompt, seed
Writes: a Parquet file, a row per training row, in training order:
        input_ids, labels (-100 where there is no loss), attention_mask: lists of T integers;
        loss_weights: T floats, 0 where the label is -100, those of one row divided by their sum where finetune.normalize_by is
        examples; loss_share: what the row adds to its step's denominator (loss of a step = sum of weight x NLL over its rows /
        sum of their shares); segments: T names; task_id, example_id
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instune import config, models
from instune.bilevel.artefact import load_artefact
from instune.errors import InputError
from instune.prompts import SEGMENTS, Prompt
from instune.records import read_tasks
from instune.selection.chosen import chosen_examples, read_selection
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow
from instune.tuning.run_rows import run_rows
from instune.tuning.settings import Finetune

SCHEMA = pa.schema(
    {
        "input_ids": pa.list_(pa.int32()),
        "labels": pa.list_(pa.int32()),
        "attention_mask": pa.list_(pa.int8()),
        "loss_weights": pa.list_(pa.float64()),
        "loss_share": pa.float64(),
        "segments": pa.list_(pa.string()),
        "task_id": pa.string(),
        "example_id": pa.string(),
    }
)


def record(row: TrainingRow) -> dict[str, Any]:
    """One row of the file.

    Raises:
        InputError: what a trainer that takes ids cannot be given: a soft instruction.
    """
    if row.soft[1]:
        raise InputError(
            f"export: the row of {row.example_id} has {row.soft[1]} places for learned embeddings, which are no token ids.\n"
            "  Set optimize.method to human, reweight or an extractor, or train with the finetune stage."
        )
    return {
        "input_ids": row.input_ids,
        "labels": row.labels,
        "attention_mask": [1] * len(row.input_ids),
        "loss_weights": row.loss_weights,
        "loss_share": row.share,
        "segments": [SEGMENTS[owner] for owner in row.segments],
        "task_id": row.task_id,
        "example_id": row.example_id,
    }


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> None:
    """Write the file, whole or not at all."""
    table = pa.Table.from_pylist([record(row) for row in rows], schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    pq.write_table(table, partial_file)
    partial_file.replace(path)


def main(*, selection: Path, instructions: Path, tasks: Path, examples: Path, model: Path, out: Path) -> None:
    """Build the rows as the finetune stage does, and write them.

    Raises:
        InputError: an encoder-decoder model, or rows with soft instructions.
    """
    values = config.load({"finetune": Finetune, "prompt": Prompt, "seed": int})
    choice, artefact = read_selection(selection), load_artefact(instructions)
    if models.load_config(model).is_encoder_decoder:
        raise InputError(f"export: {model} is an encoder-decoder model; rows of ids and labels are for causal ones.")
    artefact.check_base_model(models.weights_hash(model))
    tokenizer, chosen = models.load_tokenizer(model), list(chosen_examples(examples, choice))
    known = (choice["selected"], read_tasks(tasks), chosen, tokenizer, values["prompt"], values["finetune"], artefact)
    data, _ = run_rows(*known, model=model, device=models.pick_device(), seq2seq=False, seed=values["seed"])
    write_rows(out, data.rows)
    labelled = sum(label != IGNORE_INDEX for row in data.rows for label in row.labels)
    print(f"{out}: {len(data.rows)} rows, {data.counts.tokens} tokens, {labelled} of them with loss")
    if len({weight for row in data.rows for weight in row.loss_weights if weight}) > 1:
        print("loss_weights: not all equal. A trainer that reads labels alone gives every labelled token the same weight.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, path in (
        ("selection", "data/selection.json"),
        ("instructions", "data/instructions"),
        ("tasks", "data/pool/tasks.parquet"),
        ("examples", "data/pool/examples.parquet"),
        ("model", "data/models/base"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(path))
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"error: {error}")
