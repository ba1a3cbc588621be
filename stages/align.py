"""Bring the sentence encoder that compares instructions, as it is or aligned on the pool's wordings.

Reads
    data/pool/tasks.parquet       the wordings of source tasks, and examples in their descriptions; targets take no part
    params.yaml                   `align`, `targets`, `seed`
Writes
    data/models/selector/         0 epochs: selector.json, a reference (name, revision, hash of the encoder's files); else the
                                  aligned encoder, as sentence-transformers saves it
    reports/align.json            pairs, and Pearson and AUC of same-task against other-task pairs before and after
"""

from __future__ import annotations

from pathlib import Path

from instune import config
from instune.devices import alone
from instune.files import replacing
from instune.records import read_tasks
from instune.results import write_json
from instune.selection import encoder
from instune.selection.align import align_on
from instune.selection.alike import said_alike
from instune.selection.settings import Align
from instune.targets import Targets, source_tasks
from stages.command import run

SECTIONS = {"align": Align, "targets": Targets, "seed": int}


def main(*, tasks: Path, out: Path, report: Path) -> None:
    """Write the selector's folder and what alignment did to it."""
    values = config.load(SECTIONS)
    params, pool = values["align"], read_tasks(tasks)
    groups = said_alike(pool, source_tasks(pool, values["targets"]), params.alike)
    revision = encoder.pinned(params.encoder, params.revision)
    model = encoder.load(encoder.locate(params.encoder, revision))
    result = {"epoch": 0}
    with replacing(out) as partial:
        if params.epochs:
            settings = params.model_dump(include={"pairs", "epochs", "batch_size", "learning_rate"})
            result = align_on(model, groups, **settings, seed=values["seed"])
            result |= {"encoder": params.encoder, "revision": revision, "alike": params.alike}
            model.save_pretrained(str(partial), create_model_card=False)
        else:
            encoder.write_reference(partial, params.encoder, revision)
    write_json(report, result)
    done = f"aligned to epoch {result['epoch']}, development scores: {report}" if params.epochs else "unchanged"
    print(f"{out}: {params.encoder}, {done}")


if __name__ == "__main__":
    run(main, within=alone)
