"""What the page is made of, read from the files of the earlier stages."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from instune.evaluation.predictions import Prediction, check_same_prompts, read_predictions

PACKAGES = (
    "accelerate",
    "datasets",
    "dvc",
    "dvclive",
    "lm-eval",
    "peft",
    "rouge-score",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)
Curves = dict[str, dict[str, list[tuple[int, float]]]]


@dataclass(frozen=True)
class Pair:
    """One example with the answers of both models."""

    base: Prediction
    tuned: Prediction


@dataclass(frozen=True)
class Inputs:
    """Everything that the page shows.

    Attributes:
        params: section -> parameters.
        card, lengths, align, align_stability, selection, selection_details, instructions, optimize, finetune, scores: what
            ingest, lengths, align, align_stability, select_tasks, optimize_instructions, finetune and score wrote.
        finetune_curves, optimize_curves: panel -> curve -> (step, value) pairs.
        base_benchmarks, tuned_benchmarks: what benchmark wrote of each model.
        pairs: every example of the target tasks, sorted by task and example.
        versions: package -> version.
    """

    params: Mapping[str, Any]
    card: Mapping[str, Any]
    lengths: Mapping[str, Any]
    align: Mapping[str, Any]
    align_stability: Mapping[str, Any]
    selection: Mapping[str, Any]
    selection_details: Mapping[str, Any]
    instructions: Mapping[str, Any]
    optimize: Mapping[str, Any]
    finetune: Mapping[str, Any]
    scores: Mapping[str, Any]
    finetune_curves: Curves
    optimize_curves: Curves
    base_benchmarks: Mapping[str, Any]
    tuned_benchmarks: Mapping[str, Any]
    pairs: Sequence[Pair]
    versions: Mapping[str, str]


def read_curves(folder: Path) -> Curves:
    """Curves of a DVCLive folder by the last part of their name, `train/loss` and `validation/loss` in one panel, losses first.

    A curve without any value (nothing was optimized: one row with a step alone) is left out.
    """
    root, curves = folder / "plots" / "metrics", {}
    for path in sorted(root.rglob("*.tsv")):
        name = path.relative_to(root).with_suffix("")
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["step"]), float(row[name.name])) for row in csv.DictReader(file, delimiter="\t") if row[name.name]]
        if rows:
            curves.setdefault(name.name, {})[name.parent.as_posix() if len(name.parts) > 1 else name.name] = rows
    return dict(sorted(curves.items(), key=lambda item: (not item[0].endswith(("loss", "nll")), item[0])))


def read_pairs(base: Path, tuned: Path) -> list[Pair]:
    """Every example with both models' answers, in the predictions' order.

    Raises:
        InputError: the two models were not asked the same questions.
    """
    asked, answered = read_predictions(base), read_predictions(tuned)
    check_same_prompts(asked, answered)
    other = {row.place: row for row in answered}
    return [Pair(row, other[row.place]) for row in asked]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that the results depend on."""
    versions = {"python": python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
