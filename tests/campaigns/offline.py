"""Offline and alone: pipeline and tests without network, home folder and disk read-only, and what they write where they may.

Needs Linux with `unshare` and the right to use it. Commands run in a namespace without network, loopback down too. There
everything is read-only but a clone, its cache folder, the folder for temporary files and DVC's /var/tmp/dvc; that this holds is
tried first.

- pytest: some files, or with --all every one. Here loopback is up, where the processes of one machine meet: without it
  `torchrun` waits for minutes.
- `dvc repro` of a profile with HOME read-only and empty and XDG_CACHE_HOME given; then, with --force, HOME writable and nothing
  given.
- Then every file outside data/, reports/, .scratch/, .dvc/, the cache and the folders for temporary files is listed: there
  should be none but dvc.lock, compiled Python and what the tools of the tests keep for themselves.

A few minutes with the defaults, some ten more with --all. Exits with 1 where anything failed.

    python -m tests.campaigns.offline [--profile tiny] [--all] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.clone import MADE, ROOT, Checks, attempt, clone, commit_params, environment, parameters, profiles, run, tail

FOLDERS = ("clone", "home", "own", "cache", "tmp", "vartmp")
SEALED = """
set -eu
mount --make-rprivate /
mount --bind "$SCRATCH" "$SCRATCH"
mount --bind "$SCRATCH/vartmp" /var/tmp
mount -t tmpfs tmpfs "$SCRATCH/home"
mount -o remount,bind,ro "$SCRATCH/home"
while read -r _ place kind flags _; do
  place=$(printf '%b' "$place")
  case "$place" in "$SCRATCH"*|/var/tmp|/dev*|/proc*|/sys*) continue;; esac
  case "$kind,$flags" in
    *,ro|*,ro,*) ;;
    ext4,*|xfs,*|btrfs,*|overlay,*|tmpfs,*|ext3,*|f2fs,*) mount -o remount,bind,ro "$place";;
  esac
done < /proc/self/mounts
if [ -n "$LOOPBACK" ]; then ip link set lo up; fi
cd "$SCRATCH/clone"
exec "$@"
"""
TRIED = """
import os, pathlib, socket, sys
def refused(act):
    try:
        act()
    except OSError:
        return True
    return False
server = socket.create_server(("127.0.0.1", 0))
addresses = {"network": ("192.0.2.1", 443), "loopback": server.getsockname()}
reached = [name for name, address in addresses.items() if not refused(lambda: socket.create_connection(address, 3))]
print(*reached, *(folder for folder in sys.argv[1:] if not refused((pathlib.Path(folder) / "seal.txt").touch)))
"""
FEW = (
    "tests/pools/test_no_network.py",
    "tests/selection/test_encoder.py",
    "tests/evaluation/test_run_code.py",
    "tests/bilevel/test_ranks.py",
    "tests/test_workflows.py",
    "tests/test_end_to_end.py",
)
OURS = r"data/|reports/|\.scratch/|\.dvc/|dvc\.lock$"
OF_TOOLS = r"(.*/)?__pycache__/|\.pytest_cache/|\.hypothesis/|\.ruff_cache/"


@dataclass
class Bed:
    """Attributes: scratch: holds `FOLDERS`; checks: what was seen."""

    scratch: Path
    checks: Checks = field(default_factory=Checks)

    def sealed(self, *words: str, home: str = "home", loopback: bool = False) -> tuple[int, str]:
        """Run a command in the clone without network and right to write; exit status and what it said."""
        mine = {"SCRATCH": str(self.scratch), "LOOPBACK": "1" if loopback else "", "TMPDIR": str(self.scratch / "tmp")}
        env = environment(self.scratch / "cache", mine | {"HOME": str(self.scratch / home)})
        if home == "own":  # an ordinary home folder, and no cache folder named
            del env["XDG_CACHE_HOME"]
        mapped = () if os.geteuid() == 0 else ("--map-root-user",)
        unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", *mapped)
        done = attempt(self.scratch, *unshare, "bash", "-c", SEALED, "sealed", *words, env=env)
        return done.returncode, done.stdout

    def files(self, folder: str) -> list[str]:
        """Files below one of `FOLDERS`, by their path there."""
        base = self.scratch / folder
        return sorted(str(path.relative_to(base)) for path in base.rglob("*") if not path.is_dir())

    def untracked(self) -> list[str]:
        """What the clone holds beside its commit, ignored files too."""
        said = run(self.scratch / "clone", "git", "-c", "core.quotepath=off", "status", "--porcelain", "--ignored",
                   "--untracked-files=all", env=environment(self.scratch / "cache"))  # fmt: skip
        return [line[3:] for line in said.splitlines()]


def tried(bed: Bed) -> None:
    """The seal holds: no interface is up, nothing can be written where it must not."""
    places = (str(bed.scratch / "home"), str(ROOT), str(Path.home()), "/usr", "/var", tempfile.gettempdir())
    status, said = bed.sealed(sys.executable, "-c", TRIED, *places)
    if not bed.checks(
        "no network, no loopback, nothing writable but what is given", (status, said.strip()) == (0, ""), tail(said, 5)
    ):
        bed.checks.exit()


def pipeline(bed: Bed) -> None:
    """`dvc repro`, with a home folder that cannot be written, and with one of its own."""
    status, said = bed.sealed("dvc", "repro")
    bed.checks("dvc repro, HOME read-only, a cache folder given", status == 0, tail(said, 1 if status == 0 else 25))
    print("   cache:", summary(bed.files("cache")))
    status, said = bed.sealed("dvc", "repro", "--force", home="own")
    bed.checks("dvc repro --force, HOME of its own, nothing given", status == 0, tail(said, 1 if status == 0 else 25))
    outside = [path for path in bed.files("own") if not path.startswith(".cache/")]
    bed.checks("in the home folder only .cache is written", not outside, summary(outside))
    print("   .cache of the home folder:", summary(bed.files("own")))


def tests(bed: Bed, paths: tuple[str, ...]) -> None:
    """pytest, with loopback."""
    status, said = bed.sealed(sys.executable, "-m", "pytest", "-rfs", *paths, loopback=True)
    bed.checks(f"pytest {' '.join(paths) or 'of everything'}", status == 0, tail(said, 1 if status == 0 else 40))
    print("   skipped:", *sorted(set(re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", said, re.MULTILINE))) or ["none"], sep="\n     ")


def written(bed: Bed) -> None:
    """Nothing lies in the clone where it does not belong."""
    paths = bed.untracked()
    beside = [path for path in paths if not re.match(f"{OURS}|{OF_TOOLS}", path.strip('"'))]
    bed.checks(
        "in the clone only data, reports, .scratch, .dvc, dvc.lock and the tools' own are written", not beside, summary(beside)
    )
    print("   of the tools:", summary([path for path in paths if re.match(OF_TOOLS, path)]))
    print("   left in the folder for temporary files:", summary(bed.files("tmp")))
    print("   /var/tmp:", summary(bed.files("vartmp")))


def summary(paths: list[str]) -> str:
    """How many files, by the first two parts of their path."""
    counts: dict[str, int] = {}
    for path in paths:
        place = "/".join(path.split("/")[:2])
        counts[place] = counts.get(place, 0) + 1
    return ", ".join(f"{place} ({count})" for place, count in sorted(counts.items())[:30]) or "nothing"


def main() -> None:
    """Seal a clone off, run the pipeline and tests in it, list what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny", choices=[*MADE, *profiles()])
    parser.add_argument("--all", action="store_true", help="all tests, in place of some")
    parser.add_argument("--only", nargs="+", choices=("pipeline", "tests"), default=("pipeline", "tests"))
    parser.add_argument("--scratch", type=Path, help="an empty or new folder that stays; without it one that is deleted")
    options = parser.parse_args()
    if not shutil.which("unshare"):
        sys.exit("error: this needs `unshare` of util-linux.")
    with tempfile.TemporaryDirectory() as temporary:
        bed = Bed((options.scratch or Path(temporary)).resolve())
        for name in FOLDERS[1:]:
            (bed.scratch / name).mkdir(parents=True)
        env = environment(bed.scratch / "cache")
        folder = clone(ROOT, bed.scratch / FOLDERS[0], env=env)
        if (ROOT.parent / "shared").exists():
            (bed.scratch / "shared").symlink_to(ROOT.parent / "shared")
        tried(bed)
        if "tests" in options.only:  # of the committed parameters
            tests(bed, () if options.all else FEW)
        if "pipeline" in options.only:
            commit_params(folder, parameters(options.profile), env)
            pipeline(bed)
        written(bed)
    bed.checks.exit()


if __name__ == "__main__":
    main()
