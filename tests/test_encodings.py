"""No file is read or written in whatever encoding the user's locale has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(path for part in ("instune", "stages", "tools") for path in (ROOT / part).rglob("*.py"))
TEXT = ("read_text", "write_text")


def without_encoding(source: str) -> list[int]:
    """Lines that open a file as text and leave the encoding to the locale."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        called = node.func
        modes = [word.value for word in node.keywords if word.arg == "mode"]
        if isinstance(called, ast.Name) and called.id == "open":
            modes += node.args[1:2]
        elif isinstance(called, ast.Attribute) and called.attr == "open":
            modes += node.args[:1]
            if node.args and not isinstance(node.args[0], ast.Constant):
                continue  # of an archive or a compressed file, by name
        elif not (isinstance(called, ast.Attribute) and called.attr in TEXT):
            continue
        if not any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("place", ["open(path)", "open(path, 'w')", "path.open()", "path.open('w')", "path.read_text()"])
def test_the_locales_encoding_is_found(place):
    assert without_encoding(place) == [1]


@pytest.mark.parametrize(
    "place", ["open(path, 'rb')", "path.open('ab')", "path.open(mode='rb')", "path.open(encoding='utf-8')", "archive.open(info)"]
)
def test_bytes_and_a_named_encoding_are_let_through(place):
    assert without_encoding(place) == []


def test_every_file_has_a_named_encoding():
    found = {str(path.relative_to(ROOT)): without_encoding(path.read_text(encoding="utf-8")) for path in CODE}
    assert {path: lines for path, lines in found.items() if lines} == {}
