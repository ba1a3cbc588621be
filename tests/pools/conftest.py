"""Raw pools written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def make_record(number: int, *, instances: int = 3, **changes: Any) -> dict[str, Any]:
    """One task of a Super-NaturalInstructions clone as JSON holds it."""
    record = {
        "Categories": ["Title Generation", "Other"],
        "Definition": [f"Say the title of text {number}."],
        "Domains": ["News"],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Positive Examples": [{"input": "a text", "output": "A title", "explanation": "it fits"}],
        "Negative Examples": [{"input": "a text", "output": "no", "explanation": "it does not"}],
        "Instances": [
            {"id": f"task{number:03}-{i}", "input": f"text {number} {i}", "output": [f"title {i}", f"name {i}"]}
            for i in range(instances)
        ],
        "Instance License": ["CC BY 4.0"],
    }
    return record | changes


def write_clone(folder: Path, tasks: dict[str, dict[str, Any] | bytes], *, track: str = "default", **lists: list[str]) -> Path:
    """A clone with these task files; a list of the split that is not given holds nothing."""
    for name, record in tasks.items():
        path = folder / "tasks" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record if isinstance(record, bytes) else json.dumps(record).encode())
    splits = folder / "splits" / track
    splits.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test", "excluded"):
        (splits / f"{split}_tasks.txt").write_text("".join(f"{name}\n" for name in lists.get(split, [])))
    return folder


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """`make_record`."""
    return make_record


@pytest.fixture
def clone() -> Callable[..., Path]:
    """`write_clone`."""
    return write_clone
