"""Experiments that are there already: the same parameters, and the same code and data behind their results."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.errors import InputError
from tools.sweep.plan import Experiment

RESULTS = ("reports/scores.json", "reports/finetune.json")  # what a sweep reads of each experiment
REFERENCE = re.compile(r"^refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>[^/]+)$")


@dataclass(frozen=True)
class Found:
    """Attributes: rev: commit of the experiment, or None; why: why there is none."""

    rev: str | None
    why: str | None


def git(root: Path, *words: str) -> str:
    """What git prints."""
    done = subprocess.run(["git", *words], cwd=root, check=False, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"git {' '.join(words)}\n{done.stderr}")
    return done.stdout


def yaml_at(root: Path, rev: str, path: str) -> Any:
    """A YAML file as a commit has it."""
    return YAML(typ="safe", pure=True).load(git(root, "show", f"{rev}:{path}"))


def json_at(root: Path, rev: str, path: str) -> Any:
    """A JSON file as a commit has it."""
    return json.loads(git(root, "show", f"{rev}:{path}"))


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(_inside(path, folder) for folder in folders)


def stages_behind(lock: Mapping[str, Any], results: Iterable[str]) -> dict[str, Any]:
    """The stages of a dvc.lock that these files come from, directly or not."""
    wanted, behind, count = set(results), {}, -1
    while len(behind) > count:
        count = len(behind)
        for name, stage in lock["stages"].items():
            outs = [out["path"] for out in stage.get("outs", [])]
            if name not in behind and any(_inside(out, path) or _inside(path, out) for out in outs for path in wanted):
                behind[name] = stage
                wanted |= {dep["path"] for dep in stage.get("deps", [])}
    return behind


def _blobs(root: Path, commit: str) -> dict[str, str]:
    """Path -> hash of every file of a commit."""
    rows = (line.partition("\t") for line in git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0") if line)
    return {path: entry.split()[2] for entry, _, path in rows}


def differences(root: Path, rev: str, commit: str) -> list[str]:
    """What the results of an experiment depend on and what another commit has otherwise: files, and stages of dvc.yaml.

    What follows the results, such as the page, does not count, nor do files that stages write.
    """
    lock = yaml_at(root, rev, "dvc.lock")
    behind = stages_behind(lock, RESULTS)
    then, now = yaml_at(root, rev, "dvc.yaml"), yaml_at(root, commit, "dvc.yaml")
    found = {key for key in {*then, *now} - {"stages"} if then.get(key) != now.get(key)}
    names = {name.partition("@")[0] for name in behind}
    found |= {name for name in names if then["stages"].get(name) != now["stages"].get(name)}
    deps = {dep["path"] for stage in behind.values() for dep in stage.get("deps", [])}
    written = {out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])}
    before, after = _blobs(root, rev), _blobs(root, commit)
    for path in {*before, *after}:
        if before.get(path) != after.get(path) and _within(path.removesuffix(".dvc"), deps) and not _within(path, written):
            found.add(path)
    return sorted(found)


def code_at(root: Path, commit: str) -> str:
    """A hash of what stages run and read at a commit: their code, tracked data, dvc.yaml; not of what they write."""
    stages = yaml_at(root, commit, "dvc.yaml")["stages"].values()
    deps = {dep for stage in stages for dep in stage.get("deps", []) if isinstance(dep, str)} | {"dvc.yaml"}
    outs = {one if isinstance(one, str) else next(iter(one)) for stage in stages for one in stage.get("outs", [])}
    blobs = sorted(_blobs(root, commit).items())
    kept = [pair for pair in blobs if _within(pair[0].removesuffix(".dvc"), deps) and not _within(pair[0], outs)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def references(root: Path) -> dict[str, list[str]]:
    """Experiment name -> commits, the newest first."""
    found: dict[str, list[str]] = {}
    listed = git(root, "for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", "refs/exps")
    for line in listed.splitlines():
        commit, _, reference = line.partition(" ")
        if matched := REFERENCE.match(reference):
            found.setdefault(matched["name"], []).append(commit)
    return found


def find(root: Path, experiments: Iterable[Experiment], commit: str) -> dict[str, Found]:
    """Experiment name -> the newest of that name whose results are those of these parameters and this commit's code."""
    known, found = references(root), {}
    for experiment in experiments:
        found[experiment.name] = Found(None, "not run yet")
        for rev in known.get(experiment.name, []):
            if yaml_at(root, rev, "params.yaml") != experiment.params:
                found[experiment.name] = Found(None, "there with other parameters")
            elif other := differences(root, rev, commit):
                found[experiment.name] = Found(None, f"there with other code: {', '.join(other[:3])}{' ...' * (len(other) > 3)}")
            else:
                found[experiment.name] = Found(rev, None)
                break
    return found


def head(root: Path) -> str:
    """The commit whose code a sweep runs.

    Raises:
        InputError: code or data that a stage depends on has changes that are not committed.
    """
    stages = yaml_at(root, "HEAD", "dvc.yaml")["stages"].values()
    deps = [dep for stage in stages for dep in stage.get("deps", []) if isinstance(dep, str)]
    modified = git(root, "diff", "--name-only", "-z", "HEAD").split("\0")
    written = tuple(yaml_at(root, "HEAD", "dvc.lock")["stages"].values()) if "dvc.lock" in _blobs(root, "HEAD") else ()
    outs = [out["path"] for stage in written for out in stage.get("outs", [])]
    uncommitted = [
        path for path in modified if path == "dvc.yaml" or (_within(path.removesuffix(".dvc"), deps) and not _within(path, outs))
    ]
    if uncommitted:
        raise InputError(
            f"{', '.join(uncommitted[:5])}: changed and not committed. A sweep runs what is committed, so that its\n"
            "  results can be told from those of other code. Commit the changes, or put them aside by `git stash`."
        )
    return git(root, "rev-parse", "HEAD").strip()
