"""Read raw task pools into one format.

Reads
    data/raw/<pool>/              one folder per pool of params `pools`, in the layout that its reader knows
    params.yaml                   `ingest`, `pools`, `targets`
Writes
    data/pool/tasks.parquet       one row per task: instruction wordings, category, split, worked examples
    data/pool/examples.parquet    one row per example: input, references
    reports/data_card.json        per pool: counts, lengths in words, what was left out and why, what overlaps with the targets
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from instune import config
from instune.config import Section
from instune.pools.assemble import write_pool
from instune.pools.readers import PoolName, PoolSettings
from instune.records import write_tasks
from instune.results import write_json
from instune.targets import Targets
from stages.command import run


class Params(Section):
    """Parameters of ingest."""

    strict: bool  # true: stop at the first bad record; false: skip bad records, count them, name the first of each kind
    overlap: Literal["report", "drop"]  # source examples with the text of a target example: counted, or taken out too


SECTIONS = {"ingest": Params, "pools": dict[PoolName, PoolSettings], "targets": Targets}


def main(*, raw: Path, tasks: Path, examples: Path, card: Path) -> None:
    """Read raw task pools into one format."""
    params = config.load(SECTIONS)
    ingest = params["ingest"]
    assembly, count = write_pool(
        examples, raw, params["pools"], strict=ingest.strict, targets=params["targets"], overlapping=ingest.overlap
    )
    write_tasks(tasks, assembly.tasks.values())
    write_json(card, assembly.card)
    print(f"wrote {len(assembly.tasks)} tasks and {count} examples of {len(assembly.card)} pool(s); what was left out: {card}")


if __name__ == "__main__":
    run(main)
