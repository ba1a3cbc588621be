"""An append-only file of finished requests: what a killed evaluation has already paid for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any


def digest(*parts: Any) -> str:
    """16 hex digits over JSON values, the same in every process."""
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def file_digest(*paths: Path) -> str:
    """16 hex digits over the names and bytes of files."""
    whole = blake2b(digest_size=8)
    for path in paths:
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


class Journal:
    """Answers by request key, kept in a JSON-lines file.

    A line cut off by a kill is removed on opening; every other line stands. The caller names the folder after all that
    determines an answer (weights, parameters, code), so that two models never read one journal.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.answers: dict[str, Any] = {}
        whole = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    record = json.loads(line)
                    self.answers[record["key"]] = record["answer"]
                    whole += len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def has_all(self, keys: Iterable[str]) -> bool:
        """Whether every key is answered."""
        return all(key in self.answers for key in keys)

    def add(self, answers: Mapping[str, Any]) -> None:
        """Write the answers of one batch through to the operating system."""
        lines = [json.dumps({"key": key, "answer": answer}) + "\n" for key, answer in answers.items()]
        self._file.write("".join(lines).encode())
        self._file.flush()
        self.answers.update(answers)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
