"""Vectors kept across runs in the user's cache folder, so that a new task costs its own texts only."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

TABLE = "CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB, checksum INTEGER) WITHOUT ROWID"
UNUSABLE = (OSError, sqlite3.Error, UnicodeError)  # the last one where SQLite quotes bytes of a broken file


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/instune/embeddings`, or below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instune" / "embeddings"


def _text_key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class EmbeddingCache:
    """Text -> float32 vector, one SQLite file per encoder setting.

    A cache folder that cannot be used costs time, never the run: it is said once, and vectors then live in memory.
    """

    def __init__(self, folder: Path, setting: str) -> None:
        """
        Args:
            folder: where the cache's files lie; made if absent.
            setting: all besides the text that decides a vector: hash of the encoder's files, max length, normalization, batch
                size, device, versions.
        """
        self.folder = folder
        name = hashlib.blake2b(setting.encode(), digest_size=8).hexdigest() + ".sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open(str(folder / name))
        except UNUSABLE as error:
            self._give_up(error)

    def _open(self, place: str) -> None:
        self._connection = sqlite3.connect(place, timeout=60)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")  # fails here, not after the work, where nothing can be written
            self._connection.execute(TABLE)

    def _give_up(self, error: Exception) -> None:
        print(f"embedding cache {self.folder} cannot be used ({error}); going on without it")
        self._open(":memory:")

    def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors, each (d,), of those texts that are known; one whose bytes have changed on the disk is not."""
        try:
            return self._read(texts)
        except UNUSABLE as error:
            self._leave(error)
            return {}

    def _read(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        found = {}
        for text in texts:
            key = _text_key(text)
            row = self._connection.execute("SELECT vector, checksum FROM vectors WHERE text = ?", (key,)).fetchone()
            if row is not None and isinstance(row[0], bytes) and zlib.crc32(key + row[0]) == row[1]:
                found[text] = np.frombuffer(row[0], dtype="<f4")
        return found

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep the vectors; a killed run finds them again."""
        held = {_text_key(text): vector.astype("<f4").tobytes() for text, vector in vectors.items()}
        rows = [(key, vector, zlib.crc32(key + vector)) for key, vector in held.items()]
        try:
            self._write(rows)
        except UNUSABLE as error:  # a full disk, a lock that another run holds for too long
            self._leave(error)
            self._write(rows)

    def _leave(self, error: Exception) -> None:
        self._connection.close()
        self._give_up(error)

    def _write(self, rows: Sequence[tuple[bytes, bytes, int]]) -> None:
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
