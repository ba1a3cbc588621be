"""Published files to the rows that lm-eval's tasks of the same names read from the Hub."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instune.errors import InputError

Rows = list[dict[str, Any]]
LETTERS = "ABCD"


def bbh(path: Path) -> Rows:
    """Rows input, target."""
    return [{"input": row["input"], "target": row["target"]} for row in json.loads(path.read_text(encoding="utf-8"))["examples"]]


def mmlu(path: Path) -> Rows:
    """Rows question, choices (4), answer (0 to 3), of csv lines question, A, B, C, D, letter."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{"question": line[0], "choices": line[1:5], "answer": LETTERS.index(line[5])} for line in csv.reader(file)]


def truthfulqa(path: Path) -> Rows:
    """Rows question, mc1_targets and mc2_targets: choices and labels, the right ones first (arXiv 2109.07958, section 3)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [_questioned(line) for line in csv.DictReader(file)]


def _questioned(line: dict[str, str]) -> dict[str, Any]:
    def answers(column: str) -> list[str]:
        return [text.strip() for text in line[column].split(";") if text.strip()]

    right, wrong, best = answers("Correct Answers"), answers("Incorrect Answers"), line["Best Answer"].strip()
    right = right if best in right else [best, *right]
    return {
        "question": line["Question"].strip(),
        "mc1_targets": {"choices": [best, *wrong], "labels": [1] + [0] * len(wrong)},
        "mc2_targets": {"choices": [*right, *wrong], "labels": [1] * len(right) + [0] * len(wrong)},
    }


def json_lines(path: Path) -> Rows:
    """Rows as they are."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


PLACES: dict[str, tuple[str, Callable[[Path], Rows]]] = {
    "bbh": ("bbh/tasks/*.json", bbh),
    "mmlu": ("eval_sets/mmlu/test/*_test.csv", mmlu),
    "truthfulqa": ("eval_sets/truthfulqa/TruthfulQA.csv", truthfulqa),
    "gsm8k": ("eval_sets/gsm8k/test.jsonl", json_lines),
    "humaneval": ("eval_sets/humaneval/HumanEval.jsonl.gz", json_lines),
}


def read(data: Path) -> dict[str, Rows]:
    """Data set -> rows, for all that is there: `bbh_<task>`, `mmlu_<subject>`, `truthfulqa`, `gsm8k`, `humaneval`.

    Raises:
        InputError: a file that is not as published.
    """
    found: dict[str, Rows] = {}
    for name, (pattern, reader) in PLACES.items():
        for path in sorted(data.glob(pattern)):
            part = path.name.removesuffix("_test.csv").removesuffix(".json")
            try:
                found[f"{name}_{part}" if name in ("bbh", "mmlu") else name] = reader(path)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise InputError(f"{path}: not as published ({type(error).__name__}: {error}). Fetch the file again.") from None
    return found
