"""Where experiments run: a clone of the repository with its DVC cache, so that the user's files are never touched.

`dvc exp run` stashes and resets the workspace that it is called in, and `--temp` throws a killed run's checkpoints away with its
folder. In a lasting clone `dvc repro` and `dvc exp save`, which together are what `dvc exp run` does, keep finished stages and
checkpoints (.scratch) through any kill, and an experiment appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from instune.errors import InputError
from instune.files import SAID as FULL_DISK
from instune.results import read_json, write_json
from tools.bed import write_params
from tools.sweep.found import git
from tools.sweep.plan import Experiment

BEGUN = "begun.json"  # what the clone is in the middle of
ROOM = 2**20  # bytes; with less free a disk counts as full
SAID = 12  # last lines of a failed experiment's output that are shown


REFUSED = re.compile(r"^error: ", re.MULTILINE)  # as a stage says it; what is killed or breaks says something else


class Failed(Exception):
    """An experiment that did not finish; the message holds the last lines of its output.

    Attributes:
        refused: whether a stage itself has ended it, as after a divergence, and would again.
    """

    def __init__(self, last: str, *, refused: bool) -> None:
        super().__init__(last)
        self.refused = refused


@dataclass(frozen=True)
class Place:
    """Attributes: root: the user's repository; folder: of the sweep, with clone and logs; lock: descriptor of its lock."""

    root: Path
    folder: Path
    lock: int

    @property
    def clone(self) -> Path:
        """The repository that experiments run in."""
        return self.folder / "clone"

    def log(self, experiment: Experiment) -> Path:
        """Output of an experiment that is running or has failed."""
        return self.folder / f"{experiment.name}.log"

    def dvc(self, where: Path, log: Path, *words: str) -> None:
        """Run DVC, its output at the end of a log.

        Raises:
            Failed: it ends with an error.
            InputError: the disk is full, which says nothing about the experiment.
        """
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        with log.open("ab") as stream:
            done = subprocess.run(
                [sys.executable, "-m", "dvc", *words],
                cwd=where,
                env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock,),  # DVC outlives a killed sweep, and then keeps the lock until its stage is done
                check=False,
            )
        if done.returncode:
            text = log.read_text(encoding="utf-8", errors="replace")
            last = "\n".join([line for line in text.splitlines() if line.strip()][-SAID:])
            free = shutil.disk_usage(where).free
            if free < ROOM or any(words in text for words in FULL_DISK):  # without room the log itself may lack its end
                raise InputError(
                    f"{where}: the disk is full ({free / 2**20:.0f} MiB are free).\n{last}\n"
                    "  What was finished is kept. Make room, and run the same command again: it goes on from there."
                )
            raise Failed(last, refused=bool(REFUSED.search(text)))


def folder_of(root: Path, name: str) -> Path:
    """Where a sweep has its clone, its logs and what it has tuned."""
    return root / ".scratch/sweeps" / name


@contextmanager
def alone(root: Path, name: str) -> Iterator[Place]:
    """The place of a sweep, for one process at a time; waits for an experiment that a killed call has left running."""
    folder = folder_of(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: an earlier call's experiment is still running; waiting for it", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield Place(root, folder, stream.fileno())


def _new_clone(place: Place) -> None:
    """Clone, sharing Git's objects and DVC's cache."""
    partial = place.folder / "clone.partial"
    shutil.rmtree(partial, ignore_errors=True)
    identity = ("-c", "user.name=sweep", "-c", "user.email=sweep@localhost")
    git(place.root, "clone", "--quiet", "--shared", "--no-checkout", *identity, str(place.root), str(partial))
    git(partial, "checkout", "--quiet", "--detach", "HEAD")
    local = place.root / ".dvc/config.local"
    if local.exists():
        shutil.copy(local, partial / ".dvc")
    asked = [sys.executable, "-m", "dvc", "cache", "dir"]
    cache = subprocess.run(asked, cwd=place.root, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*asked, "--local", cache], cwd=partial, check=True, capture_output=True)
    partial.replace(place.clone)


def prepare(place: Place) -> None:
    """A clone without what killed runs of Git and DVC leave behind; ignored files, as checkpoints, stay."""
    if not place.clone.exists():
        _new_clone(place)
    for left in (".git/index.lock", ".dvc/tmp/rwlock"):  # nobody else is here: our lock is held by every DVC that runs
        (place.clone / left).unlink(missing_ok=True)
    for reference in git(place.clone, "for-each-ref", "--format=%(refname)", "refs/exps").split():
        git(place.clone, "update-ref", "--no-deref", "-d", reference)


def _begin(place: Place, experiment: Experiment, commit: str, log: Path) -> None:
    """The clone at the commit, with the experiment's parameters and the data that .dvc files name."""
    git(place.clone, "checkout", "--quiet", "--force", "--detach", commit)
    git(place.clone, "clean", "--quiet", "--force", "-d")
    write_params(place.clone, experiment.params)
    if data := [path for path in git(place.clone, "ls-files", "-z", "*.dvc").split("\0") if path]:
        place.dvc(place.clone, log, "checkout", "--force", *data)


def _ready(place: Place, experiment: Experiment, commit: str) -> Path:
    """The clone as the experiment needs it, or as a kill has left it in the middle of that; returns the log."""
    log, begun = place.log(experiment), place.folder / BEGUN
    state = {"commit": commit, "name": experiment.name, "params": experiment.params}
    log.unlink(missing_ok=True)
    if not begun.exists() or read_json(begun) != state:
        begun.unlink(missing_ok=True)
        _begin(place, experiment, commit, log)
        write_json(begun, state)
    return log


def try_stage(place: Place, experiment: Experiment, commit: str, stage: str) -> Path:
    """Run an experiment as far as a stage, or go on with that where it was killed; returns the clone with its reports.

    Raises:
        Failed: a stage ends with an error, or tracked data is not in the cache.
    """
    log = _ready(place, experiment, commit)
    place.dvc(place.clone, log, "repro", stage)
    place.dvc(place.clone, log, "commit", "--force", "--with-deps", stage)
    (place.folder / BEGUN).unlink()
    log.unlink()
    return place.clone


def run(place: Place, experiment: Experiment, commit: str) -> None:
    """Run one experiment, or go on with it where it was killed, and bring it into the user's repository.

    Raises:
        Failed: a stage ends with an error, or tracked data is not in the cache.
    """
    log = _ready(place, experiment, commit)
    place.dvc(place.clone, log, "repro")
    place.dvc(place.clone, log, "commit", "--force")  # only this puts stages with uncached reports into the run cache
    (place.folder / BEGUN).unlink()
    new = git(place.clone, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    untracked = [f"--include-untracked={path}" for path in new if path]  # reports that the commit does not have yet
    place.dvc(place.clone, log, "exp", "save", "--force", "--name", experiment.name, *untracked)
    reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{experiment.name}"
    git(place.root, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(place.clone), f"+{reference}:{reference}")
    log.unlink()


def discard(place: Place) -> None:
    """Delete the clone, which can hold gigabytes."""
    shutil.rmtree(place.clone)
