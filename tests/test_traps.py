"""The table of traps names tests that exist; and the traps of a pipeline that its files alone can show."""

from __future__ import annotations

import ast
import re
import shlex
from itertools import product
from pathlib import Path, PurePosixPath

import pytest
from test_pipeline import RUNS

TESTS = Path(__file__).parent
README = (TESTS / "README.md").read_text(encoding="utf-8")
COUNTS = {"M": 40, "E": 17, "H": 22, "D": 18, "S": 10, "T": 14, "E-T": 7, "H-T": 9, "D-T": 8, "S-T": 4}


def rows() -> list[tuple[str, str]]:
    """(traps, what covers them) of every row of the table."""
    cells = [line.strip("|").split("|") for line in README.splitlines() if re.match(r"\| [A-Z][-0-9T]", line)]
    assert all(len(row) == 3 for row in cells)
    return [(row[0], row[2]) for row in cells]


def test_every_trap_stands_in_the_table_once():
    named = [trap.strip() for traps, _ in rows() for trap in traps.split(",")]
    assert sorted(named) == sorted(f"{letter}{number + 1}" for letter, count in COUNTS.items() for number in range(count))


def test_every_row_names_a_test_or_says_why_there_is_none():
    assert not [traps for traps, covered in rows() if "::" not in covered and not re.search("not here|open", covered)]


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`([\w/]+\.py::\w+)`", README))))
def test_a_test_that_the_table_names_exists(place):
    file, _, name = place.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", [name for name, _ in RUNS])
def test_no_command_hides_a_failure_behind_a_pipe(name):
    command = dict(RUNS)[name]["cmd"]
    assert not set(shlex.split(command)) & {"|", "||", ";", "&"}
    assert not set("|;&`") & set(command)


def test_no_path_of_the_pipeline_leads_out_of_the_repository():
    for (_, stage), part in product(RUNS, ("deps", "outs", "metrics", "plots")):
        for entry in stage.get(part, []):
            path = PurePosixPath(entry if isinstance(entry, str) else next(iter(entry)))
            assert not path.is_absolute()
            assert ".." not in path.parts


def test_no_stage_calls_dvc():
    for path in sorted((TESTS.parent / "stages").glob("*.py")):
        imported = re.findall(r"^\s*(?:import|from) (dvc(?:\.\w+)*|subprocess)\b", path.read_text(encoding="utf-8"), re.M)
        assert not imported, path.name
