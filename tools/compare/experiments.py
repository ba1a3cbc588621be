"""Experiments as Git has them, and whether their scores are those of their parameters."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.sweep.found import RESULTS, git, json_at, stages_behind, yaml_at
from tools.sweep.plan import Experiment
from tools.sweep.summary import Result, result_of

PARAMS = "params.yaml"
FAILED = re.compile(r"^(?P<task>[0-9a-f]{7})\s.*\bFailed\s*$")  # of `dvc queue status`: task, name, created, status


class Unusable(Exception):
    """An experiment without scores of its own parameters; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One experiment with its results.

    Attributes:
        read: the parameters that stages behind the scores read, by key of dvc.yaml, the seed left out.
        code: file -> MD5 of the code and raw data behind the scores, and command of each stage.
        categories: target task -> its category.
    """

    result: Result
    read: dict[str, Any]
    code: dict[str, str]
    categories: dict[str, str]

    @property
    def experiment(self) -> Experiment:
        """Its name, arm, seed and parameters."""
        return self.result.experiment


def _at(params: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(params, Mapping) or part not in params:
            return None
        params = params[part]
    return params


def stale(lock: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """Why the results are not those of the parameters, as where `dvc exp run` was told to run some stages alone; None: they are.

    Args:
        lock: the content of dvc.lock, beside these parameters.
    """
    behind = stages_behind(lock, RESULTS)
    written = {out["path"]: out.get("md5") for stage in behind.values() for out in stage.get("outs", [])}
    for name, stage in behind.items():
        for key, value in stage.get("params", {}).get(PARAMS, {}).items():
            if _at(params, key) != value:
                return f"its scores are older than its parameters: {name} has not run with this {key}"
        for dep in stage.get("deps", []):
            if written.get(dep["path"], dep.get("md5")) != dep.get("md5"):
                return f"its scores are older than {dep['path']}: {name} has not run with it"
    return None


def code_of(lock: Mapping[str, Any]) -> dict[str, str]:
    """What is behind the results beside parameters: file -> MD5 of what no stage writes, stage -> its command."""
    behind = stages_behind(lock, RESULTS)
    written = {out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])}
    deps = {dep["path"]: dep.get("md5", "") for stage in behind.values() for dep in stage.get("deps", [])}
    return {path: md5 for path, md5 in deps.items() if path not in written} | {name: one["cmd"] for name, one in behind.items()}


def read_entry(root: Path, experiment: Experiment, rev: str) -> Entry:
    """The experiment at a commit.

    Raises:
        Unusable: no reports there, or not of these parameters.
    """
    there = set(git(root, "ls-tree", "-r", "--name-only", "-z", "--full-tree", rev).split("\0"))
    for path in (*RESULTS, "dvc.lock"):
        if path not in there:
            raise Unusable(f"has no {path}")
    lock = yaml_at(root, rev, "dvc.lock")
    if why := stale(lock, experiment.params):
        raise Unusable(why)
    scores, finetune = (json_at(root, rev, path) for path in RESULTS)
    keys = {key for stage in stages_behind(lock, RESULTS).values() for key in stage.get("params", {}).get(PARAMS, {})}
    read = {key: _at(experiment.params, key) for key in sorted(keys) if key != "seed"}
    try:
        result = result_of(experiment, scores, finetune, {})
    except KeyError as key:
        raise Unusable(f"its parameters or reports have no {key}: they are of other code") from None
    categories = {task: str(values.get("category", "")) for task, values in result.scores["tuned"].items()}
    return Entry(result, read, code_of(lock), categories)


def comparable(entries: Iterable[Entry], tasks: frozenset[str]) -> tuple[list[Entry], dict[str, str]]:
    """The experiments that scored exactly these target tasks, and name -> why not."""
    kept, left_out = [], {}
    for entry in entries:
        own = set(entry.categories)
        if own == tasks:
            kept.append(entry)
        else:
            left_out[entry.experiment.name] = f"scored other target tasks: {len(own)}, {len(own & tasks)} of these {len(tasks)}"
    return kept, left_out


def digest(values: Any) -> str:
    """A key for equal parameters or code."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def last_said(output: str) -> str:
    """The last line of a failed run's output, before DVC's own that it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(("ERROR: failed to reproduce", "ERROR: Failed to reproduce"))]
    return (own or lines or ["nothing"])[-1]


def failed_in_queue(root: Path) -> dict[str, str]:
    """Task or experiment of `dvc queue` -> the last line of its log, of those that failed."""

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", "queue", *words]
        return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, encoding="utf-8").stdout

    found = {}
    for line in dvc("status").splitlines():
        if matched := FAILED.match(line):
            words = line.split()
            name = words[1] if not re.match(r"\d", words[1]) else f"task {words[0]}"  # unnamed: the time follows
            found[name] = f"failed, saying last: {last_said(dvc('logs', matched['task']))}"
    return found
