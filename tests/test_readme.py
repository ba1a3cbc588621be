"""The README's own example runs as it stands there."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from test_end_to_end import SMALL
from test_pipeline import RUNS

from instune.config import read_params
from instune.results import read_json
from stages.command import run

ROOT = Path(__file__).parents[1]
SAID = {("select", "top_k"): "1", ("finetune", "validation_share"): "0.0", ("finetune", "max_tokens"): "null"}


def test_tasks_of_ones_own_go_from_the_table_to_the_page(tmp_path, monkeypatch):
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own data")[2]
    table, settings = re.search(r"```\n(task,.*?)```", section, re.S)[1], re.search(r"```yaml\n(.*?)```", section, re.S)[1]
    params = read_params(ROOT / "params.yaml") | YAML(typ="safe").load(settings) | {"base_model": SMALL["base_model"]}
    params["evaluate"]["max_new_tokens"] = 4
    for (part, key), value in SAID.items():
        assert f"`{part}.{key}` to {value}" in section
        params[part][key] = YAML(typ="safe").load(value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    YAML().dump(params, Path("params.yaml"))
    (tmp_path / "data/raw/mytasks").mkdir(parents=True)
    (tmp_path / "data/raw/mytasks/tasks.csv").write_text(table, encoding="utf-8")
    for name, stage in RUNS:
        if name != "playground":
            run(importlib.import_module(f"stages.{name}").main, shlex.split(stage["cmd"])[3:])
    assert read_json(tmp_path / "data/selection.json")["selected"] == ["mytasks:colour"]
    assert read_json(tmp_path / "reports/finetune.json")["rows"] == {"training": 2, "validation": 0, "passes": 1}
    assert "mytasks:fruit" in (tmp_path / "reports/report.html").read_text(encoding="utf-8")


def test_the_commands_that_ask_for_deterministic_kernels_reach_a_stages_python(tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The same result again")[2].partition("\n## ")[0]
    commands = re.search(r"```\n(.*?)```", section, re.S)[1]
    asked = "python -c 'import torch; print(torch.are_deterministic_algorithms_enabled())'"
    assert commands.count(" dvc repro") == 1
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands.replace("dvc repro", asked)],
        env=os.environ | {"HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
