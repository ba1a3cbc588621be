"""Rows of tables: JSON lines, a JSON list, CSV, Parquet, or a pinned Hub dataset; every value as it stands there."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from instune.pools.fields import parse_json, parse_record
from instune.pools.files import content, lines
from instune.pools.hub_rows import load_rows, parse_pin
from instune.pools.problems import BadRecord, Problems
from instune.shown import shown

TABLES = r"(?i:\.(?:jsonl|json|csv|parquet)(?:\.gz)?)"  # ends of the names of tables
PINNED = ".hub.json"
END = re.compile(rf"(?i:{re.escape(PINNED)})$|{TABLES}$")
TABLE_NAMES = "*.jsonl, *.json, *.csv and *.parquet, each also with .gz, and *.hub.json"


def _json_list(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    values = parse_json(content(file))
    if not isinstance(values, list):
        raise BadRecord("not a JSON list of objects", shown(values))
    for index, value in enumerate(values):
        if isinstance(value, dict):
            yield f"{name}: [{index}]", value
        else:
            problems.bad(BadRecord("not a JSON object", shown(value)), f"{name}: [{index}]")


def _json_lines(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, line in lines(file, name, problems):
        try:
            yield place, parse_record(line)
        except BadRecord as problem:
            problems.bad(problem, place)


def _csv(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """Text only: no number, no date and no missing value is read into a cell."""
    csv.field_size_limit(sys.maxsize)
    try:
        text = io.StringIO(content(file).decode("utf-8-sig"), newline="")
        reader = csv.DictReader(text, strict=True)
        if twice := [column for column, count in Counter(reader.fieldnames or ()).items() if count > 1]:
            raise BadRecord("header: a column name stands there twice", shown(twice))
        for number, row in enumerate(reader, start=1):
            place = f"{name}: row {number}"
            if None in row or None in row.values():
                problems.bad(BadRecord("row has more or fewer cells than the header", shown(list(row.values()))), place)
            else:
                yield place, row
    except UnicodeDecodeError as error:
        raise BadRecord("not UTF-8 text", f"byte {error.start}") from None
    except csv.Error as error:
        raise BadRecord("not valid CSV", str(error)) from None


def _parquet(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        table, number = pq.ParquetFile(pa.BufferReader(content(file))), 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                yield f"{name}: row {number}", row
                number += 1
    except (pa.ArrowException, OSError) as error:
        raise BadRecord("not a readable Parquet file", shown(str(error))) from None


def _pinned(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    pin = parse_pin(parse_record(content(file)))
    for number, row in enumerate(load_rows(pin.dataset, pin.subset, pin.split, pin.revision)):
        yield f"{name}: row {number}", row | pin.columns


def table_name(path: str) -> str:
    """A task's name for a table: its place in the pool without the ends of its name, `:` for `/`."""
    return END.sub("", path).replace("/", ":")


READERS = {"jsonl": _json_lines, "json": _json_list, "csv": _csv, "parquet": _parquet}


def read_rows(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of every good row of a table; the format follows from the end of the name."""
    kind = name.lower().removesuffix(".gz").rpartition(".")[2]
    reader, before, empty = _pinned if name.lower().endswith(PINNED) else READERS[kind], problems.counts.total(), True
    try:
        for pair in reader(file, name, problems):
            empty = False
            yield pair
        if empty and problems.counts.total() == before:
            problems.leave_out("table without rows", name)
    except BadRecord as problem:
        problems.bad(problem, name)
