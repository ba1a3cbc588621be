"""Ways to break a raw pool."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pools.conftest import make_record
from tests.pools.small_pools import lines, pack

WRONG = [None, 7, 1.5, True, [], {}, "", [None], ["a", 3], {"a": []}, [[]] * 3]
PATHS = ["../../x", "/x", "..\\x", "a/../../x", "x\u0000y", "~", ".", "C:\\x", "x\n", "con"]
TEXTS = ["x" * 2_000_000, "\ud800", "\udc00\ud800", "\ufeff", "\u0000", "\u202e", "a\u0301" * 50_000, " "]
DEEP = ["[" * 900 + "]" * 900, "[" * 100_000, '{"a":' * 990 + "1" + "}" * 990, "[" * 300 + "]" * 300]
NUMBERS = ["1e999", "-1e999", "NaN", "1" * 4_000, "1" * 5_000, "9" * 400, "-0", "1e-999"]


def unpack(path: Path) -> bytes:
    """The content of a file, decompressed where the name says so."""
    return gzip.decompress(path.read_bytes()) if path.name.endswith((".jsonl.gz", ".json.gz")) else path.read_bytes()


def spots(value: object, path: tuple = ()) -> list[tuple]:
    """Every place inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in inside for spot in spots(item, (*path, key)))]


def changed(value: object, path: tuple, new: object) -> object:
    """The value with another one at a place."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copy


def without(value: object, path: tuple) -> object:
    """The value without a place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def values_of(path: Path) -> list[Any]:
    """The JSON value in a file, or one of each line; none where it holds something else."""
    data = unpack(path)
    for parts in ([data], data.splitlines()):
        try:
            return [json.loads(part) for part in parts]
        except ValueError:
            continue
    return []


def replaced(path: Path, draw: random.Random, new: str) -> None:
    """Put JSON text at a place of one of the file's values; into other files, at a place of its bytes."""
    values = values_of(path)
    if not values:
        data = path.read_bytes()
        at = draw.randrange(len(data) + 1)
        path.write_bytes(data[:at] + new.encode("utf-8", errors="surrogatepass") + data[at:])
        return
    index, mark = draw.randrange(len(values)), "here it stands"
    values[index] = changed(values[index], draw.choice(spots(values[index])), mark)
    body = "".join(json.dumps(value) + "\n" for value in values).replace(json.dumps(mark), new)
    pack(path, body.encode("utf-8", errors="surrogatepass"))


def removed(path: Path, draw: random.Random) -> None:
    """Take a key or an item out."""
    values = values_of(path)
    inside = [(index, spot) for index, value in enumerate(values) for spot in spots(value) if spot]
    if not inside:
        path.write_bytes(b"")
        return
    index, spot = draw.choice(inside)
    values[index] = without(values[index], spot)
    lines(path, *values)


def doubled(path: Path, draw: random.Random) -> None:
    """Say a record twice, ids and all."""
    values = values_of(path)
    lines(path, *values, draw.choice(values)) if values else path.write_bytes(path.read_bytes() * 2)


def cut(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data) + 1)])


def scratched(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(3):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(bytes(data))


def encoded(path: Path, draw: random.Random) -> None:
    """Another encoding, or bytes of one in the middle."""
    data = unpack(path)
    at = draw.randrange(len(data) + 1)
    other = [
        data.decode("latin-1").encode("utf-16"),
        data.decode("latin-1").encode("utf-32"),
        data[:at] + "caf\u00e9".encode("latin-1") + data[at:],
        data[:at] + b"\xed\xa0\x80" + data[at:],
        codecs.BOM_UTF8 + data,
        codecs.BOM_UTF8 * 2 + data,
        data[:at] + b"\x00" + data[at:],
        b"\x00" * 99,
    ]
    pack(path, draw.choice(other))


def renamed(path: Path, draw: random.Random) -> None:
    """A file name that no task may have."""
    path.rename(path.with_name(draw.choice(["..x", "a\nb", " ", "\udce9", "x" * 200, "-"]) + "".join(path.suffixes)))


KINDS: list[Callable[[Path, random.Random], None]] = [
    cut,
    scratched,
    encoded,
    removed,
    doubled,
    renamed,
    lambda path, draw: replaced(path, draw, json.dumps(draw.choice(WRONG))),
    lambda path, draw: replaced(path, draw, json.dumps(draw.choice(PATHS))),
    lambda path, draw: replaced(path, draw, json.dumps(draw.choice(TEXTS))),
    lambda path, draw: replaced(path, draw, draw.choice(DEEP)),
    lambda path, draw: replaced(path, draw, draw.choice(NUMBERS)),
]


def odd_members(kind: str) -> dict[str, bytes]:
    """Archives, by the name of the member that does not belong: names that lead out, and links."""
    good, found = json.dumps(make_record(3)).encode(), {}
    for name in ("../../tasks/task003_c.json", "/tasks/task003_c.json", "..\\tasks/task003_c.json", "tasks/task003_c.json"):
        buffer = io.BytesIO()
        link = name == "tasks/task003_c.json"
        if kind == "zip":
            with zipfile.ZipFile(buffer, "w") as archive:
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o120777 if link else 0o100644) << 16
                archive.writestr(info, b"/etc/hostname" if link else good)
        else:
            with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
                info = tarfile.TarInfo(name)
                info.size = 0 if link else len(good)
                if link:
                    info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
                archive.addfile(info, io.BytesIO(good))
        found[name] = buffer.getvalue()
    return found
