"""A clone with a cache of its own, in which stages are killed and starved: what is started, waited for, and put right."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.campaigns.clone import ROOT, clone, environment, parameters
from tools.bed import write_params
from tools.sweep.plan import changed

LOCK = "dvc.lock"
POLL = 0.02  # seconds
RATE = re.compile(r"[\d?] ?[\w ]+/s\b")  # of a progress bar


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _dvc(where: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Clone:
    """Attributes: folder: holds the clone and its caches of outputs and of embeddings; log: the last command's output."""

    folder: Path
    log: Path

    @property
    def tree(self) -> Path:
        """The repository."""
        return self.folder / "clone"

    @property
    def cache(self) -> Path:
        """DVC's cache."""
        return self.folder / "cache"

    def make(self, *, profile: str | None, changes: dict[str, Any], cached: bool = True) -> None:
        """Clone HEAD with the parameters of a profile; `cached`: with hard links to what DVC's cache here holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clone(ROOT, self.tree, "--shared", env=self.environment())
        write_params(self.tree, changed(parameters(profile), changes))
        theirs = Path(_dvc(ROOT, "cache", "dir"))
        if cached and theirs.exists() and not self.cache.exists():
            shutil.copytree(theirs, self.cache, copy_function=_link)
        _dvc(self.tree, "cache", "dir", "--local", str(self.cache))

    def environment(self) -> dict[str, str]:
        """Of every command."""
        return environment(self.folder / "embeddings", {"PYTHONPATH": ""})

    @contextlib.contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """DVC in a process group of its own, its output in `log`; whatever is left of the group in the end is killed."""
        with self.log.open("wb") as log:
            dvc = subprocess.Popen(
                [sys.executable, "-m", "dvc", *words],
                cwd=self.tree,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield dvc
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(dvc.pid, signal.SIGKILL)
            dvc.wait()

    def run(self, *words: str) -> int:
        """DVC to its end; returns its exit status."""
        with self.started(*words) as dvc:
            return dvc.wait()

    def said(self, lines: int = 15) -> str:
        """The end of the last command's output, without progress bars."""
        text = self.log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
        return "\n".join([line for line in text if line.strip() and not RATE.search(line)][-lines:])

    def stages(self) -> list[str]:
        """Addresses of all stages in the order in which DVC runs them."""
        said = _dvc(self.tree, "repro", "--dry", "--force")
        return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage '")]

    def lock(self) -> dict[str, Any]:
        """Stage -> its entry in dvc.lock."""
        return YAML(typ="safe").load(self.tree / LOCK)["stages"]

    def outputs(self, stage: str) -> list[dict[str, Any]]:
        """Path, hash and size of everything that the stage wrote; without an entry, nothing."""
        return self.lock().get(stage, {}).get("outs", [])

    def _write_lock(self, entries: dict[str, Any]) -> None:
        with (self.tree / LOCK).open("w") as file:
            YAML(typ="safe").dump({"schema": "2.0", "stages": entries}, file)

    def forget(self, stage: str, entries: dict[str, Any]) -> None:
        """As if the stage had never run: no entry in dvc.lock, no run cache, no checkpoint, no cached embedding."""
        self._write_lock({name: entry for name, entry in entries.items() if name != stage})
        for place in (self.cache / "runs", self.tree / ".scratch" / script_of(stage), self.folder / "embeddings"):
            shutil.rmtree(place, ignore_errors=True)

    def files(self) -> set[str]:
        """Everything in the clone that is a file, but for Git's own, DVC's own and compiled code."""
        found = (path for path in self.tree.rglob("*") if path.is_file())
        names = (path.relative_to(self.tree) for path in found)
        return {str(name) for name in names if name.parts[0] not in (".git", ".dvc") and "__pycache__" not in name.parts}

    def processes(self) -> list[str]:
        """Command lines of the processes that work in the clone or name it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                inside = Path(process.cwd()).is_relative_to(self.tree) or any(str(self.tree) in word for word in line)
                if inside and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(line)[:200])
        return found

    def mend(self, stage: str, entries: dict[str, Any]) -> list[str]:
        """What DVC, which writes in place, has left cut off of its own files is put right as a user would: returns which were.

        Its file of locks is deleted; dvc.lock comes back as it was before the stage ran (`git checkout dvc.lock`).
        """
        cut, locks = [], self.tree / ".dvc/tmp/rwlock"
        try:
            json.loads(locks.read_text() if locks.exists() else "{}")
        except ValueError:
            locks.unlink()
            cut.append("rwlock")
        before = {name: entry for name, entry in entries.items() if name != stage}
        try:
            whole = {name: entry for name, entry in self.lock().items() if name != stage} == before
            whole = whole and all("md5" in output for output in self.outputs(stage))
        except (YAMLError, TypeError, AttributeError):
            whole = False
        if not whole:
            self._write_lock(before)
            cut.append(LOCK)
        return cut

    def held_locks(self) -> list[str]:
        """Paths that DVC holds for processes that are there; those of killed ones stay in its file, and it passes over them."""
        file = self.tree / ".dvc/tmp/rwlock"
        if not file.exists():
            return []
        held: dict[str, Any] = json.loads(file.read_text())
        writers = {path: [owner] for path, owner in held.get("write", {}).items()}
        owners = [*held.get("read", {}).items(), *writers.items()]
        return sorted({path for path, found in owners if any(psutil.pid_exists(owner["pid"]) for owner in found)})


def script_of(stage: str) -> str:
    """The script of a stage, or of an item of a matrix."""
    return stage.partition("@")[0]


def stage_process(dvc: subprocess.Popen[bytes], stage: str) -> psutil.Process | None:
    """Wait until DVC has started the stage's command; None where DVC ends without."""
    wanted = f"stages.{script_of(stage)}"
    while dvc.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(dvc.pid).children(recursive=True):
                if wanted in child.cmdline():
                    return child
        sleep(POLL)
    return None


def wait_until_gone(clone: Clone, seconds: float) -> list[str]:
    """Wait for the processes in the clone to end; returns those that did not."""
    begin = monotonic()
    while (left := clone.processes()) and monotonic() - begin < seconds:
        sleep(POLL)
    return left


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """`section.key=value` as a mapping, the values as YAML reads them."""
    return {key: YAML(typ="safe").load(value) for key, _, value in (change.partition("=") for change in changes)}
