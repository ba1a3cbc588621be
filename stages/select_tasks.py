"""Choose the source tasks to train on, for each target.

Reads
    data/embeddings.parquet       a vector per wording
    data/pool/tasks.parquet       which tasks are targets, and which may be trained on
    params.yaml                   `select`, `targets`, `seed`
Writes
    data/selection.json           targets: {target: [{task_id, score, votes}, ...]}, best first; selected: their union; method,
                                  top_k, margin at the cut per target, truncated wordings
"""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt

from instune import config
from instune.config import Section
from instune.records import read_tasks
from instune.results import write_json
from instune.selection.choose import Method, choose
from instune.selection.rank import Aggregation
from instune.selection.table import read
from instune.targets import Targets, source_tasks, target_tasks
from stages.command import run


class Params(Section):
    """Parameters of select_tasks."""

    method: Method  # instruction: by similarity of wordings; random: drawn by `seed` and target; all: every source task
    top_k: PositiveInt  # source tasks per target; `all` takes every one
    aggregation: Aggregation  # from similar wordings to similar tasks: vote (INSTA) | max | mean | mean_of_max; for `instruction`


SECTIONS = {"select": Params, "targets": Targets, "seed": int}


def main(*, tasks: Path, embeddings: Path, out: Path) -> None:
    """Write the selection."""
    params = config.load(SECTIONS)
    select = params["select"]
    pool = read_tasks(tasks)
    targets, sources = target_tasks(pool, params["targets"]), source_tasks(pool, params["targets"])
    selection = choose(
        select.method,
        tasks=pool,
        targets=targets,
        sources=sources,
        rows=read(embeddings, "wording"),
        top_k=select.top_k,
        aggregation=select.aggregation,
        seed=params["seed"],
    )
    write_json(out, selection)
    print(
        f"{out}: {select.method} chose {len(selection['selected'])} of {len(sources)} source tasks for {len(targets)} target(s)"
    )


if __name__ == "__main__":
    run(main)
