"""What the campaigns share: clones of what is committed here, with a profile's parameters, and a list of what was seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.config import PARAMS_FILE, read_params
from tools.bed import changed, write_params

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
UP_TO_DATE = "Data and pipelines are up to date."
WRITER = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", "me"), ("EMAIL", "me@x"))}
TINY = {  # a model of some thousand parameters
    "base_model": {"vocab_size": 600, "hidden_size": 32, "layers": 2, "heads": 2, "steps": 5, "batch_size": 2, "length": 64},
    "playground": {"instances_per_task": 6},
    "targets": {"examples_per_task": 2},
    "prompt": {"max_tokens": 1200, "max_instruction_tokens": 700, "max_input_tokens": 400},
    "finetune": {"max_tokens": 12_000},
    "evaluate": {"max_new_tokens": 4},
}
BUSY = {  # no stage without work
    "embed_model": {"kinds": ["hidden_state", "gradient"], "examples": 1},
    "align": {"epochs": 1, "pairs": 8},
    "align_stability": {"alignments": 1},
    "optimize": {"method": "embedder_conversion", "outer_steps": 2},
}
MADE = {"tiny": TINY, "tiny-busy": TINY | BUSY}  # over `playground-mini`


def parameters(profile: str | None) -> dict[str, Any]:
    """All parameters of a profile, or of one of `MADE`; without a name the committed ones."""
    if profile in MADE:
        return changed(read_params(ROOT / "profiles" / "playground-mini.yaml"), MADE[profile])
    return read_params(ROOT / "profiles" / f"{profile}.yaml" if profile else ROOT / PARAMS_FILE)


def profiles() -> list[str]:
    """Names of all profiles."""
    return sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


def environment(cache: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a campaign's commands see: this Python's tools first on the path, a cache folder of their own."""
    path = os.pathsep.join((str(BIN), os.environ["PATH"]))
    return os.environ | WRITER | {"PATH": path, "XDG_CACHE_HOME": str(cache)} | dict(extra or {})


def run(folder: Path, *words: str, env: Mapping[str, str]) -> str:
    """Run a command, which must succeed; returns all that it said.

    Raises:
        RuntimeError: it failed; the message holds its last lines.
    """
    done = attempt(folder, *words, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} in {folder}: exit status {done.returncode}\n{tail(done.stdout, 25)}")
    return done.stdout


def attempt(folder: Path, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail; output and errors together, whatever bytes they are."""
    return subprocess.run(
        words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        check=False, encoding="utf-8", errors="replace",
    )  # fmt: skip


def tail(text: str, lines: int) -> str:
    """The last lines of a text."""
    return "\n".join(text.strip().splitlines()[-lines:])


def clone(source: str | Path, folder: Path, *options: str, env: Mapping[str, str]) -> Path:
    """Clone a repository of Git; returns the clone, which has DVC's cache to itself."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run(folder.parent, "git", "clone", "--quiet", *options, str(source), folder.name, env=env)
    return folder


def commit_params(folder: Path, params: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Make these the committed parameters of a clone."""
    if read_params(folder / PARAMS_FILE) != params:
        write_params(folder, params)
        run(folder, "git", "commit", "--quiet", "--all", "--message", "Parameters", env=env)


def lend_venv(folder: Path) -> None:
    """Give a clone a `.venv` whose packages are this Python's, as if `make setup` had run there."""
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("."):
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / ".installed").touch()


def stages_of(lock: str) -> dict[str, Any]:
    """The stages in the text of a dvc.lock."""
    return YAML(typ="safe").load(lock)["stages"]


@dataclass
class Checks:
    """What a campaign has seen, printed as it comes.

    Attributes:
        rows: (what, whether it holds, what was said).
    """

    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    def __call__(self, what: str, holds: bool, said: str = "") -> bool:
        """Note one."""
        self.rows.append((what, holds, said))
        print(f"{'  ok  ' if holds else ' FAIL '} {what}{': ' + said if said else ''}", flush=True)
        return holds

    def exit(self) -> None:
        """Say how many hold and end, with status 1 where one does not."""
        failed = [what for what, holds, _ in self.rows if not holds]
        print(f"{len(self.rows) - len(failed)} of {len(self.rows)} hold" + "".join(f"\n  not: {what}" for what in failed))
        sys.exit(bool(failed))
