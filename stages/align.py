"""Bring the sentence encoder that compares instructions, as it is or aligned on the pool's wordings.

Reads
    data/pool/tasks.parquet       the wordings of source tasks; targets take no part
    params.yaml                   `align`, `targets`, `seed`
Writes
    data/models/selector/         0 epochs: selector.json, a reference (name, revision, hash of the encoder's files); else the
                                  aligned encoder, as sentence-transformers saves it
    reports/align.json            pairs, and Pearson and AUC of same-task against other-task pairs before and after
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from sentence_transformers import SentenceTransformer

from instune import config
from instune.config import Section
from instune.records import read_tasks
from instune.results import write_json
from instune.selection import encoder
from instune.selection.align import align, unit_vectors
from instune.selection.pairs import training_and_development
from instune.targets import Targets, source_tasks
from stages.command import run


class Params(Section):
    """Parameters of align."""

    encoder: str  # packaged:all-minilm-l6-v2, a folder, or a Hub name
    revision: Annotated[str, Field(min_length=1)] | None  # commit, branch or tag of a Hub encoder; null for the other two
    epochs: NonNegativeInt  # passes over pairs of wordings; 0 leaves the encoder as it is, and the next two without use
    batch_size: PositiveInt  # pairs per step
    learning_rate: PositiveFloat  # of AdamW, after warm-up


SECTIONS = {"align": Params, "targets": Targets, "seed": int}


def _aligned(model: SentenceTransformer, wordings: dict[str, tuple[str, ...]], params: Params, seed: int) -> dict:
    """Train in place; returns the report."""
    vectors = unit_vectors(model, {text for texts in wordings.values() for text in texts}, params.batch_size)
    train, development, without = training_and_development(wordings, vectors, seed)
    settings = params.model_dump(include={"epochs", "batch_size", "learning_rate"})
    scores, kept = align(model, train, development, **settings, seed=seed)
    return {
        "pairs": {"train": len(train.labels), "development": len(development.labels), "without_negative": without},
        "epoch": kept,
        "before": scores[0],
        "after": scores[kept],
    }


def main(*, tasks: Path, out: Path, report: Path) -> None:
    """Write the selector's folder and what alignment did to it."""
    values = config.load(SECTIONS)
    params, pool = values["align"], read_tasks(tasks)
    wordings = {task_id: pool[task_id].wordings for task_id in source_tasks(pool, values["targets"])}
    revision = encoder.pinned(params.encoder, params.revision)
    model = encoder.load(encoder.locate(params.encoder, revision))
    partial, result = out.with_name(out.name + ".partial"), {"epoch": 0}
    shutil.rmtree(partial, ignore_errors=True)
    try:
        if params.epochs:
            result = _aligned(model, wordings, params, values["seed"]) | {"encoder": params.encoder, "revision": revision}
            model.save_pretrained(str(partial), create_model_card=False)
        else:
            encoder.write_reference(partial, params.encoder, revision)
        shutil.rmtree(out, ignore_errors=True)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_json(report, result)
    done = f"aligned to epoch {result['epoch']}, development scores: {report}" if params.epochs else "unchanged"
    print(f"{out}: {params.encoder}, {done}")


if __name__ == "__main__":
    run(main)
