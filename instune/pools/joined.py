"""Tasks in one table and their instances in others, both JSON lines with the task's name under `task`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instune.pools.fields import parse_record, text
from instune.pools.files import lines, walk
from instune.pools.problems import BadRecord, Problems
from instune.shown import shown


@dataclass(frozen=True)
class Raw:
    """One task as it lies on disk, with the place of each instance."""

    name: str
    place: str
    record: dict[str, Any]
    instances: list[tuple[str, dict[str, Any]]]


def _instances(folder: Path, pattern: str, problems: Problems) -> dict[str, list[tuple[int, str, dict[str, Any]]]]:
    rows = defaultdict(list)
    for path, file in walk(folder, pattern, problems):
        for place, line in lines(file, path, problems):
            try:
                record = parse_record(line)
                name, index = text(record, "task"), record.get("index")
                if not isinstance(index, int):
                    raise BadRecord("index: expected a whole number", shown(index))
            except BadRecord as problem:
                problems.bad(problem, place)
            else:
                rows[name].append((index, place, record))
    return rows


def join(folder: Path, tasks: str, instances: str, problems: Problems) -> Iterator[Raw]:
    """Every task of the tables that match `tasks`, with its instances by `index`, wherever they lie."""
    rows = _instances(folder, instances, problems)
    for path, file in walk(folder, tasks, problems):
        for place, line in lines(file, path, problems):
            try:
                record = parse_record(line)
                name = text(record, "task")
            except BadRecord as problem:
                problems.bad(problem, place)
            else:
                in_order = sorted(rows.pop(name, []), key=lambda row: row[0])
                yield Raw(name, place, record, [(row_place, row) for _, row_place, row in in_order])
    for name, orphans in sorted(rows.items()):
        problems.bad(BadRecord("task: instances of a task without definition", shown(name)), orphans[0][1])
