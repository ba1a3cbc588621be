"""Code and parameters that are edited while a stage runs."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from instune.errors import InputError
from stages import unchanged as watched
from stages.command import run
from stages.unchanged import unchanged

PARAMS = "seed: 0\nselect: {top_k: 5}\nother: 1\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder of code, of which `used` is imported and `idle` is not, with its parameters."""
    (tmp_path / "instune").mkdir()
    for name in ("used", "idle"):
        (tmp_path / f"instune/{name}.py").write_text("value = 1\n")
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/select_tasks.py").write_text("value = 1\n")
    monkeypatch.setitem(sys.modules, "instune.used", ModuleType("instune.used"))
    monkeypatch.setattr(watched, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edited(repository, file, text):
    with unchanged("select_tasks", ["seed", "select"]):
        (repository / file).write_text(text)


def test_what_the_stage_does_not_use_may_be_edited_while_it_runs(repository):
    edited(repository, "instune/idle.py", "value = 2\n")
    edited(repository, "instune/new.py", "value = 2\n")
    edited(repository, "params.yaml", PARAMS.replace("other: 1", "other: 2"))
    edited(repository, "params.yaml", PARAMS + "# said again\n")
    edited(repository, "instune/used.py", "value = 1\n")


def test_code_that_was_edited_while_the_stage_ran_is_named_with_both_ways_out(repository):
    with pytest.raises(InputError, match=r"meanwhile instune/used\.py changed") as error:
        edited(repository, "instune/used.py", "value = 2\n")
    assert "`dvc commit --force select_tasks`" in str(error.value)
    assert "`dvc repro`" in str(error.value)


def test_the_script_of_the_stage_counts_as_imported(repository):
    with pytest.raises(InputError, match=r"meanwhile stages/select_tasks\.py changed"):
        edited(repository, "stages/select_tasks.py", "value = 2\n")


def test_a_section_that_was_edited_while_the_stage_ran_is_named(repository):
    with pytest.raises(InputError, match=r"meanwhile params\.yaml, select changed"):
        edited(repository, "params.yaml", PARAMS.replace("top_k: 5", "top_k: 6"))


def test_code_that_was_deleted_while_the_stage_ran_is_named(repository):
    with pytest.raises(InputError, match=r"instune/used\.py"), unchanged("select_tasks", []):
        (repository / "instune/used.py").unlink()


def test_an_error_of_the_stage_itself_stays_as_it_is(repository):
    def stage():
        (repository / "instune/used.py").write_text("value = 2\n")
        raise KeyError("x")

    with pytest.raises(KeyError), unchanged("select_tasks", []):
        stage()


def test_a_stage_refuses_to_end_well_after_an_edit_of_what_it_reads(repository, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SECTIONS", {"seed": int}, raising=False)

    def main() -> None:
        (repository / "params.yaml").write_text(PARAMS.replace("seed: 0", "seed: 1"))

    with pytest.raises(SystemExit, match=r"params\.yaml, seed changed"):
        run(main, [])
