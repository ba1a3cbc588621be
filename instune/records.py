"""Task and Example, the one format for every pool, and their Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from instune.errors import InputError
from instune.files import replacing
from instune.shown import first_line

Metric = Literal["exact_match", "rouge_l", "choice"]
Split = Literal["train", "test", "excluded"]
ROWS_PER_GROUP = 10_000


@dataclass(frozen=True)
class Exemplar:
    """A worked example that belongs to a task's description."""

    input: str
    output: str
    explanation: str = ""


@dataclass(frozen=True)
class Message:
    """One turn of a chat; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Task:
    """What one task is, without its examples.

    `wordings` holds every way its instruction is said, the definition first; `metric` is how an answer is scored.
    """

    task_id: str
    pool: str
    category: str
    definition: str
    wordings: tuple[str, ...]
    domains: tuple[str, ...] = ()
    positive_examples: tuple[Exemplar, ...] = ()
    negative_examples: tuple[Exemplar, ...] = ()
    metric: Metric = "rouge_l"
    split: Split = "train"
    license: str = ""


@dataclass(frozen=True)
class Example:
    """One instance of a task. `references` holds every accepted output, at least one."""

    task_id: str
    example_id: str
    input: str
    references: tuple[str, ...]
    choices: tuple[str, ...] | None = None
    wording_index: int | None = None
    messages: tuple[Message, ...] | None = field(default=None)


_TEXTS = pa.list_(pa.string())
_EXEMPLARS = pa.list_(pa.struct([(name, pa.string()) for name in ("input", "output", "explanation")]))
TASK_SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("pool", pa.string()),
        ("category", pa.string()),
        ("definition", pa.string()),
        ("wordings", _TEXTS),
        ("domains", _TEXTS),
        ("positive_examples", _EXEMPLARS),
        ("negative_examples", _EXEMPLARS),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("license", pa.string()),
    ]
)
EXAMPLE_SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("example_id", pa.string()),
        ("input", pa.string()),
        ("references", _TEXTS),
        ("choices", _TEXTS),
        ("wording_index", pa.int32()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ]
)
MAY_BE_NULL = ("choices", "wording_index", "messages")


def _column(rows: list[Task | Example], column: pa.Field) -> pa.Array:
    values = [getattr(row, column.name) for row in rows]
    if pa.types.is_list(column.type) and pa.types.is_struct(column.type.value_type):
        values = [None if parts is None else [vars(part) for part in parts] for parts in values]
    return pa.array(values, column.type)


def _write(path: Path, rows: Iterable[Task | Example], schema: pa.Schema) -> int:
    count = 0
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        stream = iter(rows)
        while group := list(islice(stream, ROWS_PER_GROUP)):
            writer.write_table(pa.table([_column(group, column) for column in schema], schema=schema))
            count += len(group)
    return count


def write_tasks(path: Path, tasks: Iterable[Task]) -> int:
    """Write tasks in the order given; returns their number."""
    return _write(path, tasks, TASK_SCHEMA)


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write examples in the order given, holding one row group in memory; returns their number."""
    return _write(path, examples, EXAMPLE_SCHEMA)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Refuse a Parquet file that cannot be read.

    Raises:
        InputError: it is missing, broken, or holds other columns.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: not found. Run `dvc repro`, which writes it.") from None
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error).replace(str(path), "it")
        raise InputError(f"{path}: not a readable Parquet file ({reason}). Run `dvc repro`, which writes it again.") from None


def _check_filled(path: Path, table: pa.Table | pa.RecordBatch) -> None:
    empty = [column.name for column in table.schema if column.name not in MAY_BE_NULL and table.column(column.name).null_count]
    if empty:
        raise InputError(f"{path}: {', '.join(empty)}: missing in some row. Run `dvc repro`, which writes the file again.")


def read_tasks(path: Path) -> dict[str, Task]:
    """All tasks by id, in file order.

    Raises:
        InputError: the file is missing, broken, or no table of tasks.
    """
    tasks = {}
    with readable(path):
        table = pq.read_table(path, schema=TASK_SCHEMA)
        _check_filled(path, table)
        rows = table.to_pylist()
    for row in rows:
        for name in ("positive_examples", "negative_examples"):
            row[name] = tuple(Exemplar(**exemplar) for exemplar in row[name])
        row["wordings"], row["domains"] = tuple(row["wordings"]), tuple(row["domains"])
        tasks[row["task_id"]] = Task(**row)
    return tasks


def _batches(path: Path, wanted: pads.Expression | None) -> Iterator[pa.RecordBatch]:
    """Row group by row group: a scan of the whole file reads ahead of a slow consumer, and memory grows with the file."""
    with readable(path):
        for fragment in pads.dataset(path, schema=EXAMPLE_SCHEMA, format="parquet").get_fragments():
            for group in fragment.split_by_row_group(wanted, schema=EXAMPLE_SCHEMA):
                yield from group.to_batches(schema=EXAMPLE_SCHEMA, filter=wanted, batch_size=ROWS_PER_GROUP)


def read_examples(path: Path, task_ids: Iterable[str] | None = None) -> Iterator[Example]:
    """Examples in file order, of the named tasks only where `task_ids` is given; streams by record batch.

    Raises:
        InputError: the file is missing, broken, or no table of examples.
    """
    wanted = None if task_ids is None else pads.field("task_id").isin(pa.array(list(task_ids), pa.string()))
    for batch in _batches(path, wanted):
        _check_filled(path, batch)
        for row in batch.to_pylist():
            row["references"] = tuple(row["references"])
            if row["choices"] is not None:
                row["choices"] = tuple(row["choices"])
            if row["messages"] is not None:
                row["messages"] = tuple(Message(**message) for message in row["messages"])
            yield Example(**row)
