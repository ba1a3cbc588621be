"""A dataset of the Hugging Face Hub whose rows have the form of another reader: conversations or a user's own tasks.

    {reader: hub, dataset: tatsu-lab/alpaca, subset: null, split: train, revision: <40 hexadecimal digits>, rows: chat}

The revision is a commit, so that the pool is the same tomorrow; it is recorded in the data card. The network is used only where
the dataset is not yet in the local cache of `datasets`. P3, and pools of several Hub datasets, name theirs in files of the raw
pool: see hub_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from instune.config import Section
from instune.pools import chat, plain
from instune.pools.hub_rows import Commit, DatasetName, load_rows
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Task


class Hub(Section):
    """A pool on the Hugging Face Hub."""

    reader: Literal["hub"]
    dataset: DatasetName
    subset: str | None  # the dataset's configuration; null where it has one only
    split: str  # train, test, ...
    revision: Commit  # 40 hexadecimal digits
    rows: Literal["chat", "plain"]  # the reader whose row form the rows have


def read(
    folder: Path,
    *,
    pool: str,
    problems: Problems,
    dataset: str,
    subset: str | None,
    split: str,
    revision: str,
    rows: str,
) -> Iterator[tuple[Task, list[Example]]]:
    """The tasks of the dataset; `folder` is not used."""
    found = ((f"{dataset}: row {number}", row) for number, row in enumerate(load_rows(dataset, subset, split, revision)))
    if rows == "chat":
        yield from chat.parts(chat.task_of(pool, dataset.rpartition("/")[2]), found, problems)
        return
    tasks: dict[str, plain.Collected] = {}
    for place, row in found:
        try:
            plain.add_row(tasks, row, pool)
        except BadRecord as problem:
            problems.bad(problem, place)
    yield from plain.finished(tasks, pool)
