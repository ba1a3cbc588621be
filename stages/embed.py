"""Encode every wording of every task, and, where `embed.inputs` asks for them, inputs of examples.

Reads
    data/models/selector/         the sentence encoder, or a reference to it
    data/pool/tasks.parquet       the wordings
    data/pool/examples.parquet    the inputs: the last of each task, since the first of a target are evaluated
    params.yaml                   `embed`
    <user's cache>/instune/embeddings/   vectors of former runs, keyed by text and encoder; may be deleted at any time
Writes
    data/embeddings.parquet       task_id, kind ("wording", "example"), index, vector (unit length, float32, d), truncated
    reports/embed.json            the encoder; per pool: wordings, the longest in tokens, how many are longer than it reads; per
                                  kind: texts, tokens, the estimated floating-point operations of encoding them all, truncated
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from sentence_transformers import SentenceTransformer

from instune import config
from instune.config import Section
from instune.devices import alone
from instune.errors import InputError
from instune.records import read_examples, read_tasks
from instune.results import write_json
from instune.selection import cost, embed, encoder, table
from instune.selection.cache import default_folder
from instune.selection.examples import last_examples
from stages.command import run


class Params(Section):
    """Parameters of embed."""

    batch_size: PositiveInt  # texts per forward pass; 1: a vector depends on its text alone, bit for bit, and is as fast on a CPU
    inputs: NonNegativeInt  # the last so many examples of each task, whose inputs are encoded too, for select.method examples


SECTIONS = {"embed": Params}


def _encoded(
    rows: Sequence[tuple[str, int, str]], model: SentenceTransformer, files: str, batch_size: int
) -> tuple[table.Embeddings, np.ndarray, int]:
    """The rows' vectors, tokens before truncation (n,), and how many texts were encoded now."""
    texts = [text for _, _, text in rows]
    vectors, encoded = embed.encode(texts, model, files=files, batch_size=batch_size, cache_folder=default_folder())
    tokens, limit = embed.token_counts(texts, model), model.max_seq_length
    truncated = tokens > limit if limit else np.zeros(len(texts), dtype=bool)
    indices = np.array([index for _, index, _ in rows], dtype=np.int64)
    return table.Embeddings(tuple(task_id for task_id, _, _ in rows), indices, vectors, truncated), tokens, encoded


def _inputs(examples: Path, count: int) -> list[tuple[str, int, str]]:
    """(task id, index, text) of the inputs that are asked for.

    Raises:
        InputError: there is none.
    """
    last = last_examples(read_examples(examples), count)
    rows = embed.inputs(last)
    if not rows:
        raise InputError(
            f"embed.inputs: {count} asks for inputs of examples, and {examples} holds none: all of the"
            f" {sum(map(len, last.values()))} examples that it takes, the last {count} of each task, have a blank input.\n"
            "  Set embed.inputs: 0; for select.method examples take a pool with inputs, or choose hidden_states."
        )
    return rows


def main(*, tasks: Path, examples: Path, selector: Path, out: Path, report: Path) -> None:
    """Write one row per text, and what the encoder could not read to its end."""
    params, start = config.load(SECTIONS)["embed"], perf_counter()
    pool = read_tasks(tasks)
    rows = {"wording": embed.wordings(pool.values())}
    if params.inputs:
        rows["example"] = _inputs(examples, params.inputs)
    folder, files = encoder.resolve(selector)
    model = encoder.load(folder)
    weights, limit, kinds, costs, new = cost.matrix_weights(model), model.max_seq_length, {}, {}, 0
    for kind, part in rows.items():
        kinds[kind], tokens, encoded = _encoded(part, model, files, params.batch_size)
        read = int(np.minimum(tokens, limit).sum() if limit else tokens.sum())
        costs[kind] = {"texts": len(part), "tokens": read, "flops": cost.forward(weights, read)}
        costs[kind]["truncated"] = int(kinds[kind].truncated.sum())
        new += encoded
        if kind == "wording":
            pools = np.array([pool[task_id].pool for task_id in kinds[kind].task_ids])
            summary = embed.summary(pools, tokens, kinds[kind].truncated)
    table.write(out, kinds)
    write_json(report, {"files": files, "max_tokens": limit, "pools": summary, "kinds": costs})
    texts = " and ".join(f"{len(part)} {kind}s" for kind, part in rows.items())
    cut = " and ".join(f"{costs[kind]['truncated']} {kind}s" for kind in rows)
    print(
        f"{out}: {texts} of {len(pool)} tasks, {new} encoded now, the rest known before, {perf_counter() - start:.1f} s;\n"
        f"  {cut} are longer than the {limit} tokens the encoder reads: {report}"
    )


if __name__ == "__main__":
    run(main, within=alone)
