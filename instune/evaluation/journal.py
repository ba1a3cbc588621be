"""An append-only file of finished requests: what a killed evaluation has already paid for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from instune.errors import InputError
from instune.files import full_disk


def digest(*parts: Any) -> str:
    """16 hex digits over JSON values, the same in every process."""
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def file_digest(*paths: Path) -> str:
    """16 hex digits over the names and bytes of files."""
    whole = blake2b(digest_size=8)
    for path in paths:
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


def _record(line: bytes) -> dict[str, Any] | None:
    """A line as it was written, or None."""
    try:
        record = json.loads(line)
        sound = line.endswith(b"\n") and record["digest"] == digest(record["key"], record["answer"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if sound else None


class Journal:
    """Answers by request key, kept in a JSON-lines file.

    Each line holds a digest of itself. The first line that is not as it was written, cut off by a kill say, is removed on
    opening, and all behind it: these requests are asked again. The caller names the folder after all that determines an answer
    (weights, parameters, code), so that two models never read one journal.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            InputError: the path cannot be opened as a file.
            OSError: the disk is full.
        """
        self.path = path
        self.answers: dict[str, Any] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)  # nothing waits to be written, in vain, where a full disk ends the run
        except OSError as error:
            if full_disk(error):
                raise
            raise InputError(f"{path}: cannot be opened ({error.strerror}). Delete the folder {path.parent}.") from None
        self._file.truncate(self._read())

    def _read(self) -> int:
        """Take over what is there; returns the bytes of the lines that are as they were written."""
        whole = 0
        with self.path.open("rb") as lines:
            for line in lines:
                record = _record(line)
                if record is None:
                    break
                self.answers[record["key"]] = record["answer"]
                whole += len(line)
        return whole

    def has_all(self, keys: Iterable[str]) -> bool:
        """Whether every key is answered."""
        return all(key in self.answers for key in keys)

    def add(self, answers: Mapping[str, Any]) -> None:
        """Write the answers of one batch through to the operating system.

        Raises:
            OSError: the disk is full, say; it names the file.
        """
        lines = [{"key": key, "answer": answer, "digest": digest(key, answer)} for key, answer in answers.items()]
        text = memoryview("".join(json.dumps(line) + "\n" for line in lines).encode())
        try:
            while text:
                text = text[self._file.write(text) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self.answers.update(answers)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
