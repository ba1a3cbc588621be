"""Bring the sentence encoder that compares instructions.

Reads
    data/pool/tasks.parquet       the wordings of source tasks; targets take no part
    params.yaml                   `align`, `targets`
Writes
    data/models/selector/         selector.json: name, revision and hash of the encoder's files, never a copy of them
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from instune import config
from instune.config import Section
from instune.records import read_tasks
from instune.selection.encoder import load, locate, write_reference
from instune.targets import Targets, source_tasks
from stages.command import run


class Params(Section):
    """Parameters of align."""

    encoder: str  # packaged:all-minilm-l6-v2, a folder, or a Hub name
    revision: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None  # commit of a Hub encoder; null for the other two
    epochs: Literal[0]  # passes over pairs of wordings; 0 leaves the encoder as it is


SECTIONS = {"align": Params, "targets": Targets}


def main(*, tasks: Path, out: Path) -> None:
    """Write the selector's folder: a reference to the encoder."""
    params = config.load(SECTIONS)
    source_tasks(read_tasks(tasks), params["targets"])  # nothing left to select from stops here
    encoder, revision = params["align"].encoder, params["align"].revision
    load(locate(encoder, revision))  # what cannot be read stops here
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        files = write_reference(partial, encoder, revision)
        shutil.rmtree(out, ignore_errors=True)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{out}: {encoder}, unchanged, files {files}")


if __name__ == "__main__":
    run(main)
