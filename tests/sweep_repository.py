"""A small repository of Git and DVC whose two stages make scores of the real form from its parameters."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from instune.errors import InputError
from tools.sweep import __main__ as sweep

ROOT = Path(__file__).parents[1]
STAGE = """
import json, os, pathlib, signal, sys, time
from ruamel.yaml import YAML
params = YAML(typ="safe").load(open("params.yaml"))
stage, kind, seed = sys.argv[1], params["select"]["method"], params["seed"]
outside, kept = pathlib.Path(os.environ["SWEEP_OUTSIDE"]), pathlib.Path(".scratch/checkpoint-" + kind + str(seed))
with open(outside / "runs", "a") as file:
    file.write(stage + " " + kind + " resumed" * kept.exists() + "\\n")
if kind == "fails":
    sys.exit("error: there is no such method")
if kind == "full" and not (outside / "room").exists():
    sys.exit("error: data/model: No space left on device; 0 of 10 MiB are free.")
if kind == "killed" and not (outside / "room").exists():
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "breaks":
    raise MemoryError("no room in this box; allocator error: 12")
kept.parent.mkdir(exist_ok=True)
kept.touch()
while (outside / ("wait-" + stage + "-" + kind)).exists():
    time.sleep(0.05)
kept.unlink()
value = {"good": 0.5, "plain": 1.0, "last": 2.0, "full": 0.1, "killed": 0.2}[kind] + FACTOR * seed
def model(shift):
    return {"tasks": {t: {"nll": value + shift + n, "rouge_l": 0.1 * n} for n, t in enumerate(["t1", "t2", "t3"])}}
pathlib.Path("reports").mkdir(exist_ok=True)
if stage == "train":
    folds = [{"loss": abs(params["select"].get("rate", 1) - best) + value} for best in (2, 4)]
    json.dump({"tokens": {"all": 1000, "with_loss": 100}, "folds": folds}, open("reports/finetune.json", "w"))
else:
    json.dump({"models": {"base": model(5), "tuned": model(0)}}, open("reports/scores.json", "w"))
"""


def _stage(name: str, deps: list[str], out: str) -> dict[str, object]:
    cmd, outs = f"python code/work.py {name}", [{f"reports/{out}.json": {"cache": False}}]
    return {"cmd": cmd, "deps": ["code/work.py", *deps], "params": ["select", "seed"], "outs": outs}


DVC = {
    "stages": {"train": _stage("train", [], "finetune"), "score": _stage("score", ["reports/finetune.json"], "scores")},
}
PARAMS = {"seed": 0, "select": {"method": "plain"}, "finetune": {"epochs": 2}}
SWEEP = {"about": "Made up.", "profile": "made", "seeds": [0], "baseline": "plain", "metrics": {"nll": "lower"}}
TOOL = """
import sys
from pathlib import Path
from tools.sweep import __main__ as sweep
sweep.check = lambda path: None  # the stages are not ours
sweep.estimate = lambda *known: ""
sweep.main(sys.argv[2], root=Path(sys.argv[1]))
"""


def run(folder: Path, *words: str) -> str:
    """Run a command, which must succeed."""
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    """Commit everything that is there."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "--quiet", "--message", message)


def write_yaml(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    YAML().dump(value, path)


def write_sweep(folder: Path, name: str, arms: dict[str, dict[str, object]], **changes: object) -> None:
    write_yaml(folder / f"sweeps/{name}.yaml", {**SWEEP, "arms": arms, **changes})


def make(folder: Path) -> Path:
    """The repository, in which nothing has run, and beside it the folder that its stage is steered by."""
    (folder / "outside").mkdir()
    repository = folder / "repository"
    (repository / "code").mkdir(parents=True)
    (repository / "code/work.py").write_text(STAGE.replace("FACTOR", "0.1"))
    (repository / "unrelated.txt").write_text("one\n")
    (repository / ".gitignore").write_text(".scratch/\n__pycache__/\n")
    write_yaml(repository / "dvc.yaml", DVC)
    write_yaml(repository / "params.yaml", PARAMS)
    write_yaml(repository / "profiles/made.yaml", PARAMS)
    run(repository, "git", "init", "--quiet")
    run(repository, sys.executable, "-m", "dvc", "init", "--quiet")
    run(repository, sys.executable, "-m", "dvc", "config", "core.analytics", "false")
    commit(repository, "start")
    return repository


def start(repository: Path, name: str) -> subprocess.Popen[str]:
    """The tool in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SWEEP_OUTSIDE": str(repository.parent / "outside")}
    return subprocess.Popen(
        [sys.executable, "-c", TOOL, str(repository), name],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def call(repository: Path, name: str) -> tuple[int, str]:
    """Run the tool to its end in this process: exit status and what it said."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        patch.setenv("SWEEP_OUTSIDE", str(repository.parent / "outside"))
        patch.setattr(sweep, "check", lambda path: None)  # the stages are not ours
        patch.setattr(sweep, "estimate", lambda *known: "")
        try:
            sweep.main(name, root=repository)
        except (InputError, SystemExit) as error:
            return 1, f"{stream.getvalue()}{error}"
    return 0, stream.getvalue()


def stage_runs(repository: Path) -> list[str]:
    """What the stage was started for, in order."""
    path = repository.parent / "outside/runs"
    return path.read_text().splitlines() if path.exists() else []


def summary(repository: Path, name: str) -> dict:
    return json.loads((repository / f"reports/sweeps/{name}.json").read_text())
