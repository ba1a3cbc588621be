"""`dvc plots show` draws the curves of the page, from the same files, and one bar per answerer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from instune.evaluation.scores import scores_table
from instune.report.inputs import read_curves
from instune.results import write_text
from tests.report.made import scores, write_run

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PLOTS = {name: stage["plots"] for name, stage in STAGES.items() if "plots" in stage}


def dvc(folder, *words):
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"}
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A repository with our plots over the made run's files, and what DVC would draw: file -> its figure."""
    folder = tmp_path_factory.mktemp("repository")
    made = write_run(tmp_path_factory.mktemp("run"))
    for stage in ("finetune", "optimize"):
        shutil.copytree(made[f"{stage}_curves"], folder / "reports" / "curves" / stage)
    write_text(folder / "reports/scores.csv", scores_table(scores()))
    dvc(folder, "init", "--no-scm", "--quiet")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots", dirs_exist_ok=True)
    YAML().dump({"stages": {name: {"cmd": "true", "plots": plots} for name, plots in PLOTS.items()}}, folder / "dvc.yaml")
    figures = json.loads(dvc(folder, "plots", "show", "--json").stdout)["data"]
    return folder, {name: found[0]["content"] for name, found in figures.items() if found}


def test_the_report_reads_the_folders_that_dvc_draws():
    drawn = {path for plots in PLOTS.values() for entry in plots for path in entry}
    words = STAGES["report"]["cmd"].split()
    read = {words[words.index(option) + 1] for option in ("--finetune-curves", "--optimize-curves")}
    assert drawn == read | {"reports/scores.csv"}


def test_every_curve_of_the_page_is_drawn_by_dvc_with_the_same_points(shown):
    folder, figures = shown
    root, found = folder / "reports" / "curves" / "finetune", {}
    for name, figure in figures.items():
        if name.startswith("reports/curves/finetune"):
            path = Path(name).relative_to("reports/curves/finetune/plots/metrics").with_suffix("")
            assert figure["encoding"]["x"]["field"] == "step"
            points = [(int(row["step"]), float(row[path.name])) for row in figure["data"]["values"]]
            found.setdefault(path.name, {})[path.parent.name or path.name] = points
    assert found == read_curves(root)
    assert len(found["loss"]) == 2


def test_no_two_scores_share_a_bar(shown):
    figure = shown[1]["reports/scores.csv"]
    assert figure["transform"] == [{"filter": "datum.level == 'overall'"}]
    bar = figure["encoding"]["y"]["field"]
    rows = [row for row in figure["data"]["values"] if row["level"] == "overall"]
    assert [row[bar] for row in rows] == ["base", "tuned", "majority", "copied_input", "copied_demonstration"]
    assert [round(float(row[figure["encoding"]["x"]["field"]]), 3) for row in rows] == [0.05, 0.5, 0.183, 0.0, 0.117]
