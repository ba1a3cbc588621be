"""A Git repository with experiments as DVC leaves them, of made-up scores: nothing runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweep_repository import commit, run, write_yaml

CATEGORIES = {"t1": "Colour", "t2": "Colour", "t3": "Shape", "t4": "Shape", "t5": "Size"}
PARAMS = {
    "seed": 0,
    "select": {"method": "random", "top_k": 5},
    "finetune": {"epochs": 1, "loss_mask": "it", "learning_rate": 1e-05},
    "lengths": {"examples_per_pool": 10},
}
STAGES = {
    "finetune": {"cmd": "python train.py", "params": ["select", "finetune", "seed"], "outs": ["model", "reports/finetune.json"]},
    "score": {"cmd": "python score.py", "params": [], "outs": ["reports/scores.json"]},
}
ME = ("-c", "user.name=me", "-c", "user.email=me@localhost")
Score = Callable[[str, int], float]  # task, its place -> NLL


def lock(params: Mapping[str, Any], code: str = "1") -> dict[str, Any]:
    """A dvc.lock of two stages that ran with these parameters and this code."""
    read = {key: params[key] for key in STAGES["finetune"]["params"]}
    model = {"path": "model", "md5": f"model of {sorted(map(str, read.items()))}"}
    reports = [{"path": path, "md5": "0"} for path in ("reports/finetune.json", "reports/scores.json")]
    train = {"cmd": "python train.py", "deps": [{"path": "train.py", "md5": code}], "params": {"params.yaml": read}}
    score = {"cmd": "python score.py", "deps": [model, {"path": "score.py", "md5": "1"}], "outs": [reports[1]]}
    return {"schema": "2.0", "stages": {"finetune": {**train, "outs": [model, reports[0]]}, "score": score}}


def scores(score: Score, tasks: Mapping[str, str]) -> dict[str, Any]:
    """The part of scores.json that is read, exact match falling as NLL rises; the model before fine-tuning has 5 nats."""
    of_task = {task: score(task, place) for place, task in enumerate(tasks)}

    def rows(shift: float) -> dict[str, Any]:
        return {
            task: {"category": tasks[task], "examples": 4, "nll": value + shift, "exact_match": 1 / (1 + value + shift)}
            for task, value in of_task.items()
        }

    return {"tasks_scored": len(tasks), "models": {"tuned": {"tasks": rows(0)}, "base": {"tasks": rows(5)}}}


def make(folder: Path) -> Path:
    """The repository, with params.yaml committed and no experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / "params.yaml", PARAMS)
    write_yaml(folder / "profiles/made.yaml", PARAMS)
    (folder / ".gitignore").write_text(".scratch/\n")
    run(folder, "git", "init", "--quiet")
    commit(folder, "start")
    return folder


def changed(**changes: Any) -> dict[str, Any]:
    """The parameters with `section__key=value` replaced."""
    params = {name: dict(value) if isinstance(value, dict) else value for name, value in PARAMS.items()}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            params[section][key] = value
        else:
            params[section] = value
    return params


def add(
    repository: Path,
    name: str,
    params: Mapping[str, Any],
    score: Score,
    *,
    tasks: Mapping[str, str] = CATEGORIES,
    locked: Mapping[str, Any] | None = None,
    code: str = "1",
    reports: Mapping[str, Any] | None = None,
) -> None:
    """An experiment of that name on the current commit.

    Args:
        locked: parameters that dvc.lock says, if others.
        reports: more of reports/finetune.json.
    """
    head = run(repository, "git", "rev-parse", "HEAD").strip()
    write_yaml(repository / "params.yaml", params)
    write_yaml(repository / "dvc.lock", lock(locked or params, code))
    (repository / "reports").mkdir(exist_ok=True)
    (repository / "reports/scores.json").write_text(json.dumps(scores(score, tasks)))
    (repository / "reports/finetune.json").write_text(json.dumps({"tokens": {"all": 1000, "with_loss": 100}, **(reports or {})}))
    run(repository, "git", "add", "params.yaml", "dvc.lock", "reports")
    second = len(run(repository, "git", "for-each-ref", "refs/exps").splitlines())
    date = {"GIT_COMMITTER_DATE": f"2026-01-01T00:{second // 60:02}:{second % 60:02}+0000"}  # one is newer than the other
    words = ["git", *ME, "commit", "--quiet", "--message", name]
    subprocess.run(words, cwd=repository, check=True, env={**os.environ, **date})
    run(repository, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
    run(repository, "git", "reset", "--quiet", "--hard", head)
