"""Small result files: sorted JSON written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON with a final newline, by way of a temporary name.

    Raises:
        ValueError: a NaN or an infinity is among the values; nothing is written.
    """
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
