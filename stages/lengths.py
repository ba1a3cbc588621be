"""Measure how long the texts of every pool are, in words and in the base model's tokens.

Reads
    data/pool/tasks.parquet       the instructions
    data/pool/examples.parquet    inputs, references, conversations
    data/models/base/             its tokenizer, or a reference to it
    params.yaml                   `lengths`, `seed`
Writes
    reports/lengths.json          per pool and part: mean, quantiles, maximum and histogram of words and of tokens
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt
from tqdm import tqdm

from instune import config
from instune.config import Section
from instune.models import load_tokenizer
from instune.pools.lengths import measure
from instune.records import read_examples, read_tasks
from instune.results import write_json
from stages.command import run


class Params(Section):
    """Parameters of lengths."""

    examples_per_pool: PositiveInt | Literal["all"]  # drawn by hash and seed; words and tokens are counted over the same ones


SECTIONS = {"lengths": Params, "seed": int}


def main(*, tasks: Path, examples: Path, model: Path, out: Path) -> None:
    """Measure how long the texts of every pool are."""
    params = config.load(SECTIONS)
    asked = params["lengths"].examples_per_pool
    found = measure(
        read_tasks(tasks),
        tqdm(read_examples(examples), desc="lengths", unit=" examples"),
        load_tokenizer(model),
        per_pool=None if asked == "all" else asked,
        seed=params["seed"],
    )
    write_json(out, found)
    measured, there = (sum(pool[key] for pool in found.values()) for key in ("examples", "of"))
    print(f"{out}: lengths of {measured} of {there} examples in {len(found)} pool(s); the page shows them under Data")


if __name__ == "__main__":
    run(main)
