"""Ways to break any file that a user hands in: those for raw pools, and those of the file system."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.pools.mutants import KINDS, changed, spots, values_of


def emptied(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def a_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_itself(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def gone(path: Path, draw: random.Random) -> None:
    path.unlink()


def line_ends(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", draw.choice([b"\r\n", b"\r", b"\n\n", b"\x0b"])))


def unreadable(path: Path, draw: random.Random) -> None:
    path.chmod(0)


def misspelt(path: Path, draw: random.Random) -> None:
    """A key with another name, or there twice."""
    values = values_of(path)
    inside = [(index, spot) for index, value in enumerate(values) for spot in spots(value) if spot and isinstance(spot[-1], str)]
    if not inside:
        return emptied(path, draw)
    index, (*above, key) = draw.choice(inside)
    holder = values[index]
    for part in above:
        holder = holder[part]
    value, twice = holder[key], draw.random() < 0.5
    mark = "here the key stands"
    values[index] = changed(values[index], tuple(above), holder | {mark: draw.choice([value, None])})
    body = "".join(json.dumps(value) + "\n" for value in values)
    path.write_text(body.replace(mark, key if twice else draw.choice([key.upper(), key + " ", "__class__", "../" + key])))
    return None


FILE_KINDS: list[Callable[[Path, random.Random], None]] = [emptied, a_folder, a_link_to_itself, gone, line_ends, misspelt]
if os.geteuid():  # to root every file is readable
    FILE_KINDS.append(unreadable)
ALL_KINDS = [*KINDS, *FILE_KINDS]
