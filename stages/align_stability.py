"""Choose anew with encoders that are aligned by other seeds: how far the choice rests on chance in the alignment.

Where nothing is aligned, or select.method compares no wordings, or alignments is 0, there is nothing to compare.

Reads
    data/selection.json           the choice made with the encoder of align
    data/pool/tasks.parquet       wordings
    reports/align.json            the commit of a Hub encoder that align took
    params.yaml                   `align_stability`, `align`, `select`, `targets`, `seed`
    .scratch/align_stability/     choices of an earlier, killed run
Writes
    data/align_stability.json     choices: how many were compared; overlap: {target: mean share of chosen tasks that two of them
                                  have in common, 0 to 1}; development: Pearson and AUC after each further alignment
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import NonNegativeInt
from sentence_transformers import SentenceTransformer
from tqdm import tqdm

import instune
from instune import config
from instune.config import Section
from instune.devices import alone
from instune.records import Task, read_tasks
from instune.results import read_json, write_json
from instune.selection import encoder
from instune.selection.align import align_on, unit_vectors
from instune.selection.alike import said_alike
from instune.selection.choose import choose
from instune.selection.embed import wordings
from instune.selection.settings import Align, Select
from instune.selection.stability import mean_pairwise_overlap
from instune.selection.table import Embeddings
from instune.targets import Targets, source_tasks, target_tasks
from instune.tuning.checkpoint import run_key
from stages.command import run


class Params(Section):
    """Parameters of align_stability."""

    alignments: NonNegativeInt  # further ones, by the seeds that follow `seed`; each takes as long as align; 0: none


SECTIONS = {"align_stability": Params, "align": Align, "select": Select, "targets": Targets, "seed": int}
SCRATCH = Path(".scratch/align_stability")


def _embeddings(model: SentenceTransformer, pool: dict[str, Task], batch_size: int) -> Embeddings:
    """Vectors of every wording; what the encoder truncates is told by embed."""
    rows = wordings(pool.values())
    vectors = unit_vectors(model, (text for _, _, text in rows), batch_size)
    stacked = np.stack([vectors[text] for _, _, text in rows])  # (n, d)
    indices = np.array([index for _, index, _ in rows])
    return Embeddings(tuple(task_id for task_id, _, _ in rows), indices, stacked, np.zeros(len(rows), dtype=bool))


def _again(values: dict[str, Any], pool: dict[str, Task], revision: str | None, seed: int) -> dict[str, Any]:
    """The choice with an encoder aligned by the seed, and the alignment's development scores."""
    params, targets = values["align"], values["targets"]
    model = encoder.load(encoder.locate(params.encoder, revision))
    sources = sorted(source_tasks(pool, targets))
    settings = params.model_dump(include={"pairs", "epochs", "batch_size", "learning_rate"})
    report = align_on(model, said_alike(pool, sources, params.alike), **settings, seed=seed)
    chosen = choose(
        values["select"],
        tasks=pool,
        targets=target_tasks(pool, targets),
        sources=sources,
        rows=_embeddings(model, pool, params.batch_size),
        evaluated=targets.examples_per_task,
        seed=values["seed"],
    )
    return {"targets": chosen["targets"], "development": report["after"]}


def main(*, selection: Path, tasks: Path, align: Path, out: Path) -> None:
    """Write how far the choices agree."""
    values = config.load(SECTIONS)
    count = values["align_stability"].alignments
    if not count or not values["align"].epochs or values["select"].method != "instruction":
        write_json(out, {"choices": 1, "overlap": {}, "development": []})
        print(f"{out}: nothing to compare (align_stability.alignments, align.epochs, select.method)")
        return
    folder = SCRATCH / run_key([str(values)], [selection, tasks, Path(instune.__file__).parent, Path(__file__)])
    pool, revision, choices = read_tasks(tasks), read_json(align)["revision"], []
    for number in tqdm(range(1, count + 1), desc="align_stability", unit="alignment"):
        kept = folder / f"{number}.json"
        if not kept.exists():
            write_json(kept, _again(values, pool, revision, values["seed"] + number))
        choices.append(read_json(kept))
    overlap = mean_pairwise_overlap([read_json(selection), *choices])
    write_json(out, {"choices": count + 1, "overlap": overlap, "development": [choice["development"] for choice in choices]})
    shutil.rmtree(folder)
    print(f"{out}: {count + 1} choices, overlap {min(overlap.values()):.2f} to {max(overlap.values()):.2f} by target")


if __name__ == "__main__":
    run(main, within=alone)
