"""Package versions are part of a commit: DVC's key of a run does not hold them."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-models.txt", "requirements-bench.txt", "constraints.txt")


def pins(name: str) -> dict[str, str]:
    """Package -> version of a file, in which every line is a pin, a comment, or the constraints."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and line != "-c constraints.txt"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in lines)
    return {_plain(package): version for package, version in (line.split("==") for line in lines)}


def _plain(package: str) -> str:
    return re.sub("[-_.]+", "-", package).lower()


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_one_version(name):
    assert pins(name)


def test_requirements_and_constraints_agree():
    constraints = pins("constraints.txt")
    assert {package: constraints.get(package) for package in pins("requirements.txt")} == pins("requirements.txt")


def test_every_package_that_the_pipeline_imports_is_pinned():
    imported = set()
    for folder in ("instune", "stages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                imported |= {name.split(".")[0] for name in names}
    known, pinned = packages_distributions(), pins("constraints.txt")
    for name in sorted(imported - set(sys.stdlib_module_names) - {"instune", "stages"}):
        assert any(_plain(package) in pinned for package in known.get(name, [name])), name
