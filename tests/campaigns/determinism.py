"""Determinism: everything runs anew under other circumstances, and dvc.lock, which holds the hash of every output, stays.

Each circumstance has a clone and a cache folder of its own, in which `dvc repro --force` runs. The number of threads is the
caller's, the same for all. Locales that the system lacks are made by `localedef`; where that is not to be had, they are named as
not tried. Prints the lines of dvc.lock that differ from those of the first run, and exits with 1 where there are any. `together`
is most of the circumstances at once, a quick first look. Each takes as long as `dvc repro` of the profile: with `tiny-busy`, in
which every stage has work, four minutes on a core of its own.

    python -m tests.campaigns.determinism [--profile tiny-busy] [--scratch FOLDER] [--only again hash1 ...]
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.clone import MADE, ROOT, Checks, attempt, clone, commit_params, environment, parameters, profiles, run

SHOWN = 40  # lines of a difference


@dataclass(frozen=True)
class Circumstance:
    """Attributes: env: variables; locale: (source, character map, name) to be made; umask: of the process; path: of the clone."""

    env: dict[str, str] = field(default_factory=dict)
    locale: tuple[str, str, str] | None = None
    umask: int | None = None
    path: str = "here"


BARE = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # Python takes the C locale as it is: ASCII
CIRCUMSTANCES = {
    "plain": Circumstance(),
    "again": Circumstance(),
    "hash1": Circumstance({"PYTHONHASHSEED": "1"}),
    "hash2": Circumstance({"PYTHONHASHSEED": "2"}),
    "kathmandu": Circumstance({"TZ": "Asia/Kathmandu"}),
    "ascii": Circumstance({"LC_ALL": "C"} | BARE),
    "turkish": Circumstance({"LC_ALL": "tr_TR.UTF-8"}, ("tr_TR", "UTF-8", "tr_TR.UTF-8")),
    "german": Circumstance({"LC_ALL": "de_DE.UTF-8"}, ("de_DE", "UTF-8", "de_DE.UTF-8")),
    "latin1": Circumstance({"LC_ALL": "de_DE.ISO-8859-1"} | BARE, ("de_DE", "ISO-8859-1", "de_DE.ISO-8859-1")),
    "umask": Circumstance(umask=0o077),
    "together": Circumstance(
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.ISO-8859-1"} | BARE,
        ("de_DE", "ISO-8859-1", "de_DE.ISO-8859-1"),
        0o077,
        "anderswo/mit Blank/Übung 日本",
    ),
    "place": Circumstance(path="anderswo/mit Blank/Übung 日本"),
}


def make_locale(made: tuple[str, str, str], folder: Path, env: dict[str, str]) -> bool:
    """Compile a locale into a folder for LOCPATH; whether that worked."""
    source, letters, name = made
    if not shutil.which("localedef"):
        return False
    folder.mkdir(exist_ok=True)
    attempt(folder, "localedef", "-i", source, "-f", letters, str(folder / name), env=env)  # warns by its exit status too
    return (folder / name).is_dir()


def lock_under(name: str, scratch: Path, profile: str) -> str | None:
    """dvc.lock after everything ran under a circumstance; none where its locale is not to be had."""
    under, bed = CIRCUMSTANCES[name], scratch / name
    bed.mkdir()
    env = environment(bed / "cache")
    folder = clone(ROOT, bed / under.path, env=env)
    commit_params(folder, parameters(profile), env)
    if under.locale:
        if not make_locale(under.locale, scratch / "locales", env):
            return None
        env |= {"LOCPATH": str(scratch / "locales")}
    before = os.umask(under.umask) if under.umask is not None else None
    try:
        run(folder, "dvc", "repro", "--force", env=env | under.env)
    finally:
        if before is not None:
            os.umask(before)
    return (folder / "dvc.lock").read_text(encoding="utf-8")


def main() -> None:
    """Run the first circumstance and those that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny-busy", choices=[*MADE, *profiles()])
    parser.add_argument("--scratch", type=Path, help="an empty or new folder that stays; without it one that is deleted")
    parser.add_argument("--only", nargs="+", choices=list(CIRCUMSTANCES)[1:], default=list(CIRCUMSTANCES)[1:])
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (options.scratch or Path(temporary)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        first = lock_under("plain", scratch, options.profile)
        for name in options.only:
            started = time.monotonic()
            try:
                found = lock_under(name, scratch, options.profile)
            except RuntimeError as error:
                checks(name, False, str(error))
                continue
            if found is None:
                print(f"  --   {name}: not tried, the locale is not there and localedef does not make it")
                continue
            differing = list(difflib.unified_diff(first.splitlines(), found.splitlines(), "plain", name, n=4, lineterm=""))
            seconds = f"dvc.lock is the same, {time.monotonic() - started:.0f} s"
            checks(name, not differing, "\n".join(["", *differing[:SHOWN]]) if differing else seconds)
    checks.exit()


if __name__ == "__main__":
    main()
