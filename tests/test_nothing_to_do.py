"""DVC's own side of the pipeline, with outputs that are made up: what a run starts, and how long it takes to find nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import ROOT, RUNS

SECONDS = 20  # of the processor, most of them DVC's imports


def names(stage: dict, part: str) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in stage.get(part, [])]


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *words], check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The pipeline with its code, every output a text of one line, as DVC would have left it after a run."""
    folder = tmp_path_factory.mktemp("repository")
    outputs = {path for _, stage in RUNS for part in ("outs", "metrics", "plots") for path in names(stage, part)}
    inputs = {path for _, stage in RUNS for path in names(stage, "deps") if path not in outputs and (ROOT / path).exists()}
    for path in inputs | {"dvc.yaml", "params.yaml"}:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, folder / path)
    for path in outputs:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{path}\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "commit", "--force", "--quiet")
    return folder


def test_a_second_run_starts_nothing_and_ends_within_seconds(finished):
    before = os.times()
    said = dvc(finished, "repro")
    after = os.times()
    assert "Data and pipelines are up to date." in said
    assert "Running stage" not in said
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < SECONDS


def test_a_changed_parameter_concerns_the_stages_that_read_it_and_a_comment_none(finished):
    params = finished / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("\nscore:\n", "\nscore:  # of the report\n"), encoding="utf-8")
    assert "up to date" in dvc(finished, "status")
    params.write_text(text.replace("confidence: 0.95", "confidence: 0.9"), encoding="utf-8")
    said = dvc(finished, "status")
    params.write_text(text, encoding="utf-8")
    readers = {name for name, stage in RUNS if "score" in stage.get("params", [])}
    assert {line.rstrip(":") for line in said.splitlines() if not line.startswith("\t")} == readers
