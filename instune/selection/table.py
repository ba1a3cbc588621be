"""The table of embeddings: one row per text of a kind (wording, example, hidden_state, gradient), with its vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instune.errors import InputError
from instune.files import replacing
from instune.records import readable

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("kind", pa.string()),
        ("index", pa.int32()),
        ("vector", pa.list_(pa.float32())),
        ("truncated", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Embeddings:
    """Rows of one kind, in file order.

    Attributes:
        task_ids: the owner of each row, (n,).
        indices: the row's place among its task's wordings, or among its task's examples in pool order, (n,).
        vectors: unit length, float32, (n, d).
        truncated: whether the text was longer than the model reads, (n,).
    """

    task_ids: tuple[str, ...]
    indices: np.ndarray
    vectors: np.ndarray
    truncated: np.ndarray


def _as_table(kind: str, rows: Embeddings) -> pa.Table:
    count, width = rows.vectors.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    vectors = pa.ListArray.from_arrays(offsets, pa.array(rows.vectors.reshape(-1), pa.float32()))
    columns = [list(rows.task_ids), [kind] * count, rows.indices, vectors, rows.truncated]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write(path: Path, kinds: Mapping[str, Embeddings]) -> None:
    """Write the rows of each kind, whole or not at all; without a kind the table is empty."""
    tables = [_as_table(kind, rows) for kind, rows in kinds.items()]
    with replacing(path) as partial:
        pq.write_table(pa.concat_tables([SCHEMA.empty_table(), *tables]), partial, compression="zstd")


def read(path: Path, kind: str) -> Embeddings:
    """Read the rows of one kind.

    Raises:
        InputError: the file is missing, broken, or no table of embeddings.
    """
    with readable(path):
        table = pq.read_table(path, schema=SCHEMA, filters=[("kind", "==", kind)]).combine_chunks()
    vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if table.num_rows and len(vectors) % table.num_rows:
        raise InputError(f"{path}: holds vectors of several lengths of kind {kind}. Run `dvc repro`, which writes it again.")
    return Embeddings(
        tuple(table["task_id"].to_pylist()),
        table["index"].to_numpy(),
        vectors.reshape(table.num_rows, len(vectors) // max(table.num_rows, 1)),
        table["truncated"].to_numpy(),
    )
