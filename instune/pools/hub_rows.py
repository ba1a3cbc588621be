"""Rows of a dataset on the Hugging Face Hub at a commit; the only module of the pools that uses the network.

A file `<name>.hub.json` in a raw pool stands for a table that lies on the Hub, for every reader of tables. P3 as bigscience
published it has a subset per dataset and template, and says neither in its rows; `columns` does:

    {"dataset": "bigscience/P3", "subset": "ag_news_classify", "split": "train", "revision": "<40 hexadecimal digits>",
     "columns": {"dataset": "ag_news", "template": "classify"}}

Beside P3's `templates.yaml`, `{"dataset": "fancyzhx/ag_news", "subset": null, "split": "train", "revision": "..."}` gives the
raw rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from instune.config import Section
from instune.errors import InputError
from instune.pools.problems import BadRecord

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
DatasetName = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")]  # owner/name


class Pin(Section):
    """A table on the Hub."""

    dataset: DatasetName
    subset: str | None  # the dataset's configuration; null where it has one only
    split: str  # train, test, ...
    revision: Commit
    columns: dict[str, str] = Field(default_factory=dict)  # further columns, the same in every row


def parse_pin(record: dict[str, Any]) -> Pin:
    """The pin that a file holds.

    Raises:
        BadRecord: a key is missing, unknown or wrong.
    """
    try:
        return Pin.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BadRecord(f"not a pinned Hub dataset: {key}: {first['msg']}") from None


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
    except (ValueError, RuntimeError) as error:  # RuntimeError: a dataset that is a script, which `datasets` does not run
        raise InputError(f"{name}: {error}") from None
