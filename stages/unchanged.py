"""Code and parameters that change while a stage runs: DVC hashes them after its command, beside the outputs of the old ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from instune.config import PARAMS_FILE, read_params
from instune.errors import InputError

ROOT = Path(__file__).parents[1]
CODE = ("instune", "stages")


def _digests(stage: str) -> dict[str, bytes]:
    """Of every file of ours that is imported, or is the stage's script, by path from the root."""
    found = {}
    for path in (path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))):
        place = path.relative_to(ROOT)
        name = ".".join(place.with_suffix("").parts)
        if name in sys.modules or name == f"stages.{stage}":
            found[place.as_posix()] = blake2b(path.read_bytes()).digest()
    return found


def _values(sections: Iterable[str]) -> dict[str, Any]:
    params = read_params(PARAMS_FILE) if sections else {}
    return {name: params.get(name) for name in sections}


@contextmanager
def unchanged(stage: str, sections: Iterable[str]) -> Iterator[None]:
    """Refuse to end well where an imported file of ours, or one of these sections of params.yaml, is not as at the start.

    Raises:
        InputError: names what has changed.
    """
    before, values = _digests(stage), _values(sections)
    yield
    now = _digests(stage)
    changed = [place for place in before if now.get(place) != before[place]]
    changed += [f"{PARAMS_FILE}, {name}" for name, value in _values(sections).items() if value != values[name]]
    if changed:
        raise InputError(
            f"{stage} ended, but meanwhile {'; '.join(changed)} changed, and DVC would record that for what made these outputs.\n"
            f"  Change it back and run `dvc commit --force {stage}` to keep them, or run `dvc repro` again."
        )
