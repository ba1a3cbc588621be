"""Choose the source tasks to train on, and examples of them, for each target.

Reads
    data/embeddings.parquet       a vector per wording, or per input of an example
    data/model_embeddings.parquet a vector per example, by the base model
    data/pool/tasks.parquet       which tasks are targets, and which may be trained on
    data/pool/examples.parquet    ids of examples, where not all are taken; which repeat evaluated ones, where examples choose
    params.yaml                   `select`, `targets`, `seed`
Writes
    data/selection.json           targets: {target: [{task_id, score, votes}, ...]}, best first; selected: their union; examples:
                                  {task_id: [example_id, ...]}, null for all; method, top_k, margin at the cut per target,
                                  truncated texts, filled, unranked, cost
    data/selection_details.json   for the page: matches: {target: [{task_id, target_wording, source_wording, score}, ...]};
                                  stability: {target: {mean, min} overlap of the top_k without one of its wordings, null for one
                                  wording}; both {} where no wordings are compared; scores of chosen tasks for all targets;
                                  truncated: {task_id: [wording, ...]}; map of wordings
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from instune import config
from instune.errors import InputError
from instune.records import read_examples, read_tasks
from instune.results import write_json
from instune.selection.choose import KINDS, WAYS_OUT, rank_sources, selection_of, some_examples
from instune.selection.details import look_behind
from instune.selection.evaluated import repeats, without
from instune.selection.examples import example_ids
from instune.selection.instances import Instances
from instune.selection.settings import Select
from instune.selection.table import Embeddings, read
from instune.targets import Targets, source_tasks, target_tasks
from stages.command import run

SECTIONS = {"select": Select, "targets": Targets, "seed": int}
SWITCHES = {
    "example": "embed.inputs: 8",
    "hidden_state": "embed_model.kinds: [hidden_state]",
    "gradient": "embed_model.kinds: [gradient]",
}


def _rows(method: str, embeddings: Path, model_embeddings: Path) -> Embeddings | None:
    """The vectors that the method compares, if it compares any."""
    kind = KINDS.get(method)
    if kind is None:
        return None
    table = embeddings if kind in ("wording", "example") else model_embeddings
    rows = read(table, kind)
    if kind in SWITCHES and not rows.task_ids:
        raise InputError(
            f"select.method: {method} compares vectors of kind {kind}, and {table} holds none.\n"
            f"  Set {SWITCHES[kind]} and run again."
        )
    return rows


def main(*, tasks: Path, examples: Path, embeddings: Path, model_embeddings: Path, out: Path, details: Path) -> None:
    """Write the selection."""
    params, start = config.load(SECTIONS), perf_counter()
    select, pool, evaluated = params["select"], read_tasks(tasks), params["targets"].examples_per_task
    targets, sources = target_tasks(pool, params["targets"]), sorted(source_tasks(pool, params["targets"]))
    rows = _rows(select.method, embeddings, model_embeddings)
    if select.method in WAYS_OUT:
        rows = without(rows, repeats(read_examples(examples, targets), evaluated))
    ranked, truncated = rank_sources(
        select, tasks=pool, targets=targets, sources=sources, rows=rows, evaluated=evaluated, seed=params["seed"]
    )
    selection = selection_of(select, ranked, truncated, tasks=pool, sources=sources)
    chosen = {target: [choice["task_id"] for choice in choices] for target, choices in selection["targets"].items()}
    known = rows if KINDS.get(select.method) == "wording" else read(embeddings, "wording")
    behind = look_behind(select, ranked, chosen, tasks=pool, sources=sources, rows=known, seed=params["seed"])
    selection["examples"] = None
    if select.examples_per_task is not None:
        selection["examples"] = some_examples(
            select.examples_per_task,
            chosen,
            example_ids(examples, selection["selected"]),
            Instances(rows, evaluated, WAYS_OUT[select.method]) if select.method in WAYS_OUT else None,
        )
    write_json(details, behind)
    write_json(out, selection)
    print(
        f"{out}: {select.method} chose {len(selection['selected'])} of {len(sources)} source tasks for {len(targets)} target(s),"
        f" {perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    run(main)
