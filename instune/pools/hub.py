"""A dataset of the Hugging Face Hub whose rows have the form of another reader: conversations or a user's own tasks.

    {reader: hub, dataset: GAIR/lima, subset: null, split: train, revision: 68958e93..., rows: chat}

The revision is a commit, so that the pool is the same tomorrow; it is recorded in the data card. This is the only reader that
uses the network, and only where the dataset is not yet in the local cache of `datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from instune.config import Section
from instune.errors import InputError
from instune.pools import chat, plain
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Task

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class Hub(Section):
    """A pool on the Hugging Face Hub."""

    reader: Literal["hub"]
    dataset: Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")]  # owner/name
    subset: str | None  # the dataset's configuration; null where it has one only
    split: str  # train, test, ...
    revision: Commit  # 40 hexadecimal digits
    rows: Literal["chat", "plain"]  # the reader whose row form the rows have


def load_rows(dataset: str, subset: str | None, split: str, revision: str) -> Iterator[dict[str, Any]]:
    """The rows of a Hub dataset at a commit.

    Raises:
        InputError: offline and not in the local cache, the Hub is out of reach, or it has no such dataset, subset or split.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import constants

    name = f"{dataset} ({subset or 'default'}, {split}) at {revision[:8]}"
    way_out = "Or bring its files under data/raw and choose the reader that fits them."
    try:
        return iter(load_dataset(dataset, subset, split=split, revision=revision))
    except DatasetNotFoundError as error:
        raise InputError(f"{name}: the Hub has no such dataset or revision, or it is gated. {way_out}\n  {error}") from None
    except OSError as error:
        why = "HF_HUB_OFFLINE is set; unset it once" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}; try again"
        raise InputError(f"{name}: not in the local cache, and the Hub is out of reach ({why}). {way_out}") from None
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


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
