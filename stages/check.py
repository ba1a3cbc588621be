"""Check every section of params.yaml before anything runs: a mistake in the last stage is told in the first seconds.

Not a stage: `make repro` runs it when params.yaml or a stage has changed.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from instune import config
from instune.errors import InputError
from stages.command import run

STAGES = (
    "playground",
    "ingest",
    "base_model",
    "lengths",
    "align",
    "embed",
    "embed_model",
    "select_tasks",
    "align_stability",
    "optimize_instructions",
    "finetune",
    "evaluate",
    "benchmark",
    "score",
)


def all_sections() -> dict[str, Any]:
    """Section name -> type, over all stages that read parameters by type."""
    return {name: kind for stage in STAGES for name, kind in importlib.import_module(f"stages.{stage}").SECTIONS.items()}


def check(path: Path) -> None:
    """Validate a complete parameter file.

    Raises:
        InputError: a section that no stage reads, or whatever `config.load` refuses.
    """
    sections = all_sections()
    unknown = sorted(set(config.read_params(path)) - set(sections))
    if unknown:
        raise InputError(f"{path}: unknown section(s) {', '.join(unknown)}. There are: {', '.join(sorted(sections))}.")
    config.load(sections, path=path)


def main() -> None:
    """Validate params.yaml."""
    check(config.PARAMS_FILE)
    print(f"{config.PARAMS_FILE}: every section is valid")


if __name__ == "__main__":
    run(main)
