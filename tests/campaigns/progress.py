"""How far a killed stage had come, and how much of that its checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import torch

SCRATCH, CURVES = ".scratch", "plots/metrics"
UNITS = {"finetune": "steps", "optimize_instructions": "outer steps", "evaluate": "answers", "benchmark": "answers"}


def _rows(files: list[Path]) -> int:
    """Lines of live curves, without their heads; of a curve that several folds share a step is a line."""
    return sum(max(0, len(file.read_bytes().splitlines()) - 1) for file in files)


def _steps(path: Path) -> int:
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"]


def progress(tree: Path, script: str) -> tuple[int, int] | None:
    """What was done, and what of it a checkpoint or journal holds, in the stage's unit; None where the stage keeps neither.

    An answer counts as done when it is in the journal: of the batch that was being asked nothing is known.
    """
    if script not in UNITS:
        return None
    folder = tree / SCRATCH / script
    if UNITS[script] == "answers":
        lines = sum(file.read_bytes().count(b"\n") for file in folder.rglob("answers*.jsonl"))
        return lines, lines
    kept = sum(_steps(path) for path in folder.rglob("*.pt"))
    if script == "finetune":
        return _rows(list((tree / "reports/curves/finetune" / CURVES).rglob("train/loss.tsv"))), kept
    return _rows(sorted((tree / "reports/curves/optimize" / CURVES).rglob("fold*/outer_loss.tsv"))), kept
