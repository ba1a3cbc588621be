"""Hold dvc.yaml to account: every file a stage runs, every path it gets and every parameter it reads is declared."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from instune.config import read_params
from stages.check import STAGES, check

ROOT = Path(__file__).parents[1]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def _expand(stage: dict) -> list[dict]:
    """One dictionary per run of a stage: a matrix of one key is written out."""
    if "matrix" not in stage:
        return [stage]
    ((key, values),) = stage["matrix"].items()

    def fill(node: object, value: str) -> object:
        if isinstance(node, dict):
            return {fill(name, value): fill(child, value) for name, child in node.items()}
        if isinstance(node, list):
            return [fill(child, value) for child in node]
        return node.replace(f"${{item.{key}}}", value) if isinstance(node, str) else node

    return [fill({name: part for name, part in stage.items() if name != "matrix"}, value) for value in values]


def _paths(entries: list | None) -> set[str]:
    return {path for entry in entries or [] for path in ([entry] if isinstance(entry, str) else entry)}


def _modules(file: Path) -> set[Path]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in ("instune", "stages"):
                candidate = ROOT / (name.replace(".", "/") + ".py")
                if candidate.exists():
                    found.add(candidate)
    return found


def code_of(module: str) -> set[str]:
    """Every file of ours that `python -m module` imports, itself included."""
    waiting, seen = [ROOT / (module.replace(".", "/") + ".py")], set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(_modules(file))
    return {file.relative_to(ROOT).as_posix() for file in seen}


def covered(path: str, declared: set[str]) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in declared)


RUNS = [(name, run) for name, stage in PIPELINE.items() for run in _expand(stage)]
ids = [f"{name}-{position}" for position, (name, _) in enumerate(RUNS)]


def test_every_stage_script_is_in_the_pipeline_and_in_the_check():
    scripts = {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__", "command", "unchanged", "check"}
    assert set(PIPELINE) == scripts
    assert set(STAGES) == scripts - {"report"}


@pytest.mark.parametrize(("name", "run"), RUNS, ids=ids)
def test_every_file_that_a_stage_runs_is_a_dependency(name, run):
    deps = _paths(run["deps"])
    missing = {file for file in code_of(f"stages.{name}") if not covered(file, deps)}
    assert not missing
    code = {path for path in deps if path.endswith(".py")}
    assert code == code_of(f"stages.{name}")


@pytest.mark.parametrize(("name", "run"), RUNS, ids=ids)
def test_every_path_on_the_command_line_is_declared(name, run):
    words = run["cmd"].split()
    assert words[:3] == ["python", "-m", f"stages.{name}"]
    declared = set.union(*(_paths(run.get(part)) for part in ("deps", "outs", "metrics", "plots")))
    arguments = words[4::2]
    for path in arguments:
        assert covered(path, declared) or any(covered(other, {path}) for other in declared), path
    outputs = set.union(*(_paths(run.get(part)) for part in ("outs", "metrics", "plots")))
    assert all(covered(path, set(arguments)) for path in outputs)


@pytest.mark.parametrize(("name", "run"), RUNS, ids=ids)
def test_every_section_that_a_stage_reads_is_a_parameter(name, run):
    sections = set(importlib.import_module(f"stages.{name}").SECTIONS)
    assert set(run.get("params", [])) == sections


@pytest.mark.parametrize(("name", "run"), RUNS, ids=ids)
def test_metrics_stay_in_git_and_other_outputs_in_the_cache(name, run):
    for metric in run.get("metrics", []):
        assert next(iter(metric.values())) == {"cache": False}


def test_no_output_lies_inside_another():
    outputs = [path for _, run in RUNS for part in ("outs", "metrics", "plots") for path in _paths(run.get(part))]
    assert len(outputs) == len(set(outputs))
    assert not [(one, other) for one in outputs for other in outputs if one != other and covered(one, {other})]


def test_the_profile_small_equals_the_committed_default():
    assert (ROOT / "profiles/small.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("profile", sorted(path.name for path in (ROOT / "profiles").glob("*.yaml")))
def test_every_profile_is_valid(profile):
    check(ROOT / "profiles" / profile)


def test_no_section_is_left_without_a_reader():
    read = set().union(*(importlib.import_module(f"stages.{name}").SECTIONS for name in STAGES))
    assert set(read_params(ROOT / "params.yaml")) == read
