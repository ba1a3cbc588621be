"""Move the project: what one clone has made is pulled, queued, run in temporary folders and by CI in others.

In a scratch folder: clone A runs the pipeline and pushes to a folder as remote. Clone B, on a path with a blank and letters
beyond ASCII, pulls and has nothing to do. Clean clones without any data queue two experiments for two workers, and run one in a
temporary folder, without network where `unshare` allows. A clone of depth 1 does what CI does, with few of the tests. `make
profile` refuses changed parameters, every profile validates, and no output holds the place where it was made. Prints a line for
each check, and exits with 1 where one fails. The profile runs whole five times: with `tiny` 20 minutes on a core of its own.

    python -m tests.campaigns.move [--profile tiny] [--scratch FOLDER] [--only push ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.campaigns.clone import (
    MADE,
    ROOT,
    UP_TO_DATE,
    Checks,
    attempt,
    clone,
    commit_params,
    environment,
    lend_venv,
    parameters,
    profiles,
    run,
    stages_of,
    tail,
)

ELSEWHERE = "ein Ort mit Blank/Übung 日本"
CI_TESTS = "tests/test_workflows.py tests/test_traps.py"
RATES = {"lower": 1e-4, "higher": 1e-3}
VALIDATE = """
from pathlib import Path
from stages.check import check
for path in sorted(Path("profiles").glob("*.yaml")):
    check(path)
    print(path.stem, end=" ")
"""
WAIT = 4 * 3600  # seconds for a queue


@dataclass
class Bed:
    """Attributes: scratch: all clones and the cache; profile: name; checks: what was seen."""

    scratch: Path
    profile: str
    checks: Checks = field(default_factory=Checks)

    @cached_property
    def env(self) -> dict[str, str]:
        """Variables of every command."""
        return environment(self.scratch / "cache")

    @cached_property
    def offline(self) -> tuple[str, ...]:
        """Words in front of a command that take the network away; none where that is not allowed."""
        words = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
        able = shutil.which("unshare") and attempt(self.scratch, *words, "true", env=self.env).returncode == 0
        print(f"network: {'taken away for queue and temp runs' if able else 'NOT taken away: unshare is not allowed here'}")
        return words if able else ()

    @cached_property
    def first(self) -> Path:
        """Clone A: the pipeline has run, its lock is committed, everything is pushed."""
        folder = clone(ROOT, self.scratch / "A", env=self.env)
        commit_params(folder, parameters(self.profile), self.env)
        started = time.monotonic()
        run(folder, "dvc", "repro", env=self.env)
        print(f"one run of {self.profile}: {time.monotonic() - started:.0f} s")
        run(folder, "git", "add", "--all", env=self.env)
        if run(folder, "git", "status", "--porcelain", env=self.env):
            run(folder, "git", "commit", "--quiet", "--message", "Results", env=self.env)
        self.remote(folder)
        run(folder, "dvc", "push", "--quiet", env=self.env)
        return folder

    def remote(self, folder: Path) -> None:
        """Give a clone the folder that all push to."""
        run(folder, "dvc", "remote", "add", "--local", "--default", "store", str(self.scratch / "store"), env=self.env)

    def clean(self, folder: Path) -> bool:
        """Whether neither Git nor DVC sees a change."""
        git = run(folder, "git", "status", "--porcelain", env=self.env)
        dvc = run(folder, "dvc", "status", env=self.env)
        return self.checks(f"{folder.name}: git and dvc status are clean", not git and UP_TO_DATE in dvc, git + tail(dvc, 5))

    def lock_of(self, folder: Path, experiment: str) -> str:
        """dvc.lock of a finished experiment."""
        refs = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps", env=self.env).split()
        (ref,) = [ref for ref in refs if ref.endswith(f"/{experiment}")]
        return run(folder, "git", "show", f"{ref}:dvc.lock", env=self.env)


def push(bed: Bed) -> None:
    """B pulls what A pushed and has nothing to do, also after it moved to another place."""
    bed.clean(bed.first)
    second = clone(bed.first, bed.scratch / ELSEWHERE, env=bed.env)
    bed.remote(second)
    run(second, "dvc", "pull", "--quiet", env=bed.env)
    started = time.monotonic()
    said = run(second, "dvc", "repro", env=bed.env)
    stages = len(stages_of((second / "dvc.lock").read_text(encoding="utf-8")))
    unchanged = said.count("didn't change, skipping")
    seconds = f"{unchanged} of {stages} stages unchanged, {time.monotonic() - started:.1f} s"
    bed.checks("B: dvc repro does nothing", unchanged == stages and "Running stage" not in said, seconds)
    bed.clean(second)
    pages = [(folder / "reports/report.html").read_bytes() for folder in (bed.first, second)]
    bed.checks("B: the page is A's, byte for byte", pages[0] == pages[1])
    third = second.rename(bed.scratch / "moved")
    bed.clean(third)
    said = run(third, "dvc", "repro", env=bed.env)
    bed.checks("moved: dvc repro does nothing", "Running stage" not in said)


def queue(bed: Bed) -> None:
    """Two experiments in a queue, two workers, no network, no data in the clone before."""
    folder = clone(bed.first, bed.scratch / "queued", env=bed.env)
    before = (folder / "dvc.lock").read_text(encoding="utf-8")
    for name, rate in RATES.items():
        run(folder, "dvc", "exp", "run", "--queue", "--name", name, "-S", f"finetune.learning_rate={rate}", env=bed.env)
    run(folder, *bed.offline, "dvc", "queue", "start", "--jobs", "2", env=bed.env)
    until, said = time.monotonic() + WAIT, ""
    while time.monotonic() < until and (not said or "Queued" in said or "Running" in said):
        time.sleep(5)
        said = run(folder, "dvc", "queue", "status", env=bed.env)
    bed.checks("queue: both succeed", said.count("Success") == len(RATES), tail(said, 6))
    for name, rate in RATES.items():
        found = stages_of(bed.lock_of(folder, name))["finetune"]["params"]["params.yaml"]["finetune"]["learning_rate"]
        bed.checks(f"queue: {name} was trained at {rate}", found == rate, str(found))
    same = (folder / "dvc.lock").read_text(encoding="utf-8") == before
    bed.checks("queue: the clone's own files stay", same and not run(folder, "git", "status", "--porcelain", env=bed.env))


def temp(bed: Bed) -> None:
    """A run in a temporary folder, of everything, from a clone without data: the same as in the workspace."""
    folder = clone(bed.first, bed.scratch / "temp", env=bed.env)
    run(folder, *bed.offline, "dvc", "exp", "run", "--temp", "--force", "--name", "again", env=bed.env)
    same = bed.lock_of(folder, "again") == (bed.first / "dvc.lock").read_text(encoding="utf-8")
    bed.checks("temp: dvc.lock is that of dvc repro in the workspace", same)
    bed.checks("temp: the clone's own files stay", not run(folder, "git", "status", "--porcelain", env=bed.env))


def shallow(bed: Bed) -> None:
    """What CI does, in a clone of depth 1 on an awkward path, but of the tests those of CI_TESTS; then an experiment in it."""
    folder = clone(f"file://{bed.first}", bed.scratch / "ohne Vergangenheit/flach 日本", "--depth", "1", env=bed.env)
    lend_venv(folder)
    done = attempt(folder, ".ci/run", env=bed.env | {"PYTEST_ADDOPTS": CI_TESTS})
    bed.checks("depth 1: .ci/run", done.returncode == 0, tail(done.stdout, 1 if done.returncode == 0 else 25))
    same = done.returncode == 0 and (folder / "dvc.lock").read_bytes() == (bed.first / "dvc.lock").read_bytes()
    bed.checks("depth 1: dvc.lock is that of the first clone", same)
    done = attempt(folder, "dvc", "exp", "run", "--name", "one", "-S", "score.confidence=0.9", env=bed.env)
    bed.checks("depth 1: dvc exp run", done.returncode == 0, tail(done.stdout, 2))


def profile(bed: Bed) -> None:
    """`make profile` writes what was named over what is committed, and over nothing else; every profile validates."""
    folder = clone(ROOT, bed.scratch / "profiles", env=bed.env)
    lend_venv(folder)
    params = folder / "params.yaml"
    for name in profiles():
        run(folder, "make", "profile", f"NAME={name}", env=bed.env)
        written = params.read_bytes() == (folder / "profiles" / f"{name}.yaml").read_bytes()
        bed.checks(f"make profile NAME={name}", written)
        run(folder, "git", "checkout", "--quiet", "params.yaml", env=bed.env)
    done = attempt(folder, "python", "-c", VALIDATE, env=bed.env)
    bed.checks("every profile validates", done.returncode == 0, tail(done.stdout, 5))
    for stage in ("changed", "changed and staged"):
        params.write_text(params.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
        if "staged" in stage:
            run(folder, "git", "add", "params.yaml", env=bed.env)
        mine = params.read_bytes()
        done = attempt(folder, "make", "profile", "NAME=superni-sample", env=bed.env)
        refused = done.returncode != 0 and "params.yaml has changes" in done.stdout and params.read_bytes() == mine
        bed.checks(f"make profile refuses a params.yaml that is {stage}", refused, tail(done.stdout, 2))
        (way_out,) = re.findall(r"run '(git [^']+)' first", done.stdout)
        attempt(folder, *way_out.split(), env=bed.env)
        done = attempt(folder, "make", "profile", "NAME=superni-sample", env=bed.env)
        bed.checks(f"what it says helps: {way_out}", done.returncode == 0, tail(done.stdout, 1))
        run(folder, "git", "checkout", "--quiet", "HEAD", "params.yaml", env=bed.env)
    done = attempt(folder, "make", "profile", "NAME=nosuch", env=bed.env)
    bed.checks("make profile names what there is", done.returncode != 0 and "superni-sample" in done.stdout, tail(done.stdout, 2))


def places(bed: Bed) -> None:
    """Nothing that A made or holds in Git names the place, the machine or the home folder."""
    names = [str(bed.scratch), str(Path.home()), socket.gethostname()]
    words = [name.encode() for name in names if len(name) > 4]
    tracked = run(bed.first, "git", "ls-files", "-z", env=bed.env).split("\0")[:-1]
    made = [path for part in ("data", "reports") for path in (bed.first / part).rglob("*") if path.is_file()]
    files = sorted({*made, *(bed.first / name for name in tracked)})
    found = [f"{path.relative_to(bed.first)}" for path in files if any(word in path.read_bytes() for word in words)]
    bed.checks(f"none of {len(files)} files names {', '.join(names)}", not found, ", ".join(found[:8]))


PARTS: dict[str, Callable[[Bed], None]] = {
    "push": push, "places": places, "profile": profile, "queue": queue, "temp": temp, "shallow": shallow,
}  # fmt: skip


def main() -> None:
    """Run the parts that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny", choices=[*MADE, *profiles()])
    parser.add_argument("--scratch", type=Path, help="an empty or new folder that stays; without it one that is deleted")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = options.scratch or Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        bed = Bed(scratch.resolve(), options.profile)
        for name in options.only:
            try:
                PARTS[name](bed)
            except RuntimeError as error:
                bed.checks(name, False, str(error))
    bed.checks.exit()


if __name__ == "__main__":
    main()
