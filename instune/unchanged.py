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


def _digests() -> dict[str, bytes]:
    """Of every file of ours, by absolute path."""
    files = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    return {str(path): blake2b(path.read_bytes()).digest() for path in files}


def _values(sections: Iterable[str]) -> dict[str, Any]:
    params = read_params(PARAMS_FILE) if sections else {}
    return {name: params.get(name) for name in sections}


@contextmanager
def unchanged(stage: str, sections: Iterable[str]) -> Iterator[None]:
    """Refuse to end well where a file that was imported, or one of these sections of params.yaml, is not as at the start.

    Raises:
        InputError: names what has changed.
    """
    before, values = _digests(), _values(sections)
    yield
    now, imported = _digests(), {vars(module).get("__file__") for module in list(sys.modules.values())}
    changed = [Path(file).relative_to(ROOT).as_posix() for file in before if file in imported and now.get(file) != before[file]]
    changed += [f"{PARAMS_FILE}, {name}" for name, value in _values(sections).items() if value != values[name]]
    if changed:
        raise InputError(
            f"{stage} ended, but meanwhile {'; '.join(changed)} changed, and DVC would record that for what made these outputs.\n"
            f"  Change it back and run `dvc commit --force {stage}` to keep them, or run `dvc repro` again."
        )
