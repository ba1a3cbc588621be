"""Encode every wording of every task.

Reads
    data/models/selector/         the sentence encoder, or a reference to it
    data/pool/tasks.parquet       the wordings
    params.yaml                   `embed`
    <user's cache>/instune/embeddings/   vectors of former runs, keyed by text and encoder; may be deleted at any time
Writes
    data/embeddings.parquet       task_id, kind ("wording"), index, vector (unit length, float32, d), truncated
    reports/embed.json            the encoder; per pool: wordings, the longest in tokens, how many are longer than it reads
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from instune import config
from instune.config import Section
from instune.records import read_tasks
from instune.results import write_json
from instune.selection import embed, encoder, table
from instune.selection.cache import default_folder
from stages.command import run


class Params(Section):
    """Parameters of embed."""

    batch_size: PositiveInt  # texts per forward pass; 1: a vector depends on its text alone, bit for bit, and is as fast on a CPU


SECTIONS = {"embed": Params}


def main(*, tasks: Path, selector: Path, out: Path, report: Path) -> None:
    """Write one row per wording, and what the encoder could not read to its end."""
    params = config.load(SECTIONS)
    pool = read_tasks(tasks)
    rows = embed.wordings(pool.values())
    folder, files = encoder.resolve(selector)
    model = encoder.load(folder)
    texts = [text for _, _, text in rows]
    vectors, encoded = embed.encode(
        texts, model, files=files, batch_size=params["embed"].batch_size, cache_folder=default_folder()
    )
    tokens = embed.token_counts(texts, model)
    limit = model.max_seq_length
    truncated = tokens > limit if limit else np.zeros(len(texts), dtype=bool)
    task_ids = tuple(task_id for task_id, _, _ in rows)
    table.write(out, "wording", table.Embeddings(task_ids, np.array([index for _, index, _ in rows]), vectors, truncated))
    pools = np.array([pool[task_id].pool for task_id in task_ids])
    write_json(report, {"files": files, "max_tokens": limit, "pools": embed.summary(pools, tokens, truncated)})
    print(
        f"{out}: {len(texts)} wordings of {len(pool)} tasks, {encoded} encoded now, the rest known before;\n"
        f"  {int(truncated.sum())} are longer than the {limit} tokens the encoder reads: {report}"
    )


if __name__ == "__main__":
    run(main)
