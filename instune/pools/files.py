"""Files of a raw pool: a folder, or one archive in it that is read member by member and never unpacked."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from instune.errors import InputError
from instune.pools.problems import BadRecord, Problems

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
NOT_DATA = ("__MACOSX", "dataset_info.json", "dataset_infos.json")  # beside the hidden ones: of an archiver, of `datasets`
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError)
LIMIT = 2**29  # bytes of a line, or of a file that is read whole: a small archive may unpack to any size
CHUNK = 2**20  # bytes
DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which numbers inside names count as numbers: task2 before task10."""
    parts = [(part, part.lstrip("0")) for part in DIGITS.split(name) if part]
    return [(0, len(number), number) if DIGITS.fullmatch(part) else (1, 0, part) for part, number in parts]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part in NOT_DATA for part in PurePosixPath(name).parts)


def archive_of(folder: Path) -> Path | None:
    """The archive that holds a pool: the folder's only file, or None where the pool lies unpacked.

    Raises:
        InputError: several archives.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(ARCHIVES) and not _hidden(path.name))
    if len(found) > 1:
        raise InputError(f"{folder}: holds {len(found)} archives ({found[0].name}, {found[1].name}, ...). Leave one.")
    return found[0] if found else None


def holds(folder: Path, pattern: str) -> bool:
    """Whether a file lies unpacked in the folder whose name matches, as for `walk`; an archive is not looked into."""
    wanted = re.compile(rf"(?:^|/)(?:{pattern})$")
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return any(wanted.search(name) and not _hidden(name) for name in names)


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _folder_members(folder: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(paths, key=natural_key):
        yield name, lambda path=paths[name]: path.open("rb")


def _link() -> IO[bytes]:
    raise OSError("a link; links in archives are not followed")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    for info in sorted(archive.infolist(), key=lambda info: natural_key(info.filename)):
        if not info.is_dir():
            link = stat.S_ISLNK(info.external_attr >> 16)
            yield info.filename, _link if link else lambda info=info: archive.open(info)


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    for member in archive:
        if member.isfile():
            yield member.name, lambda member=member: archive.extractfile(member)
        elif member.issym() or member.islnk():
            yield member.name, _link


def _members(folder: Path, stack: ExitStack) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    path = archive_of(folder)
    if path is None:
        return _folder_members(folder)
    if path.suffix.lower() == ".zip":
        return _zip_members(stack.enter_context(zipfile.ZipFile(path)))
    return _tar_members(stack.enter_context(tarfile.open(path, "r|*")))


def _not_readable(error: Exception) -> BadRecord:
    return BadRecord("not readable", f"{type(error).__name__}: {error}")


def walk(folder: Path, pattern: str, problems: Problems) -> Iterator[tuple[str, IO[bytes]]]:
    """Open the files of a pool whose name matches, one after the other, `.gz` decompressed; hidden ones are not looked at.

    Args:
        folder: the raw pool, unpacked or with one archive in it.
        pattern: regular expression for the end of the name after a `/` (folders inside an archive vary).
        problems: told about unreadable files and archives, about links in archives, and about names that lead out of
            them or hold half characters or controls.

    Yields:
        (name, open binary file), by natural order of names; in stored order from a tar file, which has no other.
    """
    wanted, archive = re.compile(rf"(?:^|/)(?:{pattern})$"), archive_of(folder)
    place = archive.name if archive else ""
    with ExitStack() as stack:
        try:
            for name, opener in _members(folder, stack):
                if _leads_out(name):
                    problems.bad(BadRecord("archive member's name leads out of the archive", ascii(name)), place)
                elif _hidden(name):
                    continue
                elif wanted.search(name) and not name.isprintable():
                    problems.bad(BadRecord("file name: not printable", ascii(name)), place)
                elif wanted.search(name):
                    with ExitStack() as opened:
                        try:
                            stored = opened.enter_context(opener())
                            file = opened.enter_context(gzip.open(stored)) if name.lower().endswith(".gz") else stored
                        except UNREADABLE as error:
                            problems.bad(_not_readable(error), name)
                            continue
                        yield name, file
        except UNREADABLE as error:
            problems.bad(_not_readable(error), place)


def seen(folder: Path) -> list[str]:
    """Names of the files that lie there, or in the archive there, as far as it can be read; hidden ones aside."""
    names = []
    with ExitStack() as stack:
        try:
            names += (name for name, _ in _members(folder, stack) if not _hidden(name))
        except UNREADABLE:
            names += [path.name for path in (archive_of(folder),) if path]
    return names


def content(file: IO[bytes]) -> bytes:
    """The whole file.

    Raises:
        BadRecord: it cannot be read to its end, or holds more than `LIMIT` bytes.
    """
    whole = io.BytesIO()
    try:
        while chunk := file.read(CHUNK):
            whole.write(chunk)
            if whole.tell() > LIMIT:
                raise BadRecord(f"more than {LIMIT >> 20} MiB in one piece; split it, or use JSON lines")
    except UNREADABLE as error:
        raise BadRecord("not readable to its end", f"{type(error).__name__}: {error}") from None
    return whole.getvalue()


def lines(file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, bytes]]:
    """(place, line) of every line that is not blank, split on `\\n` only.

    A line of more than `LIMIT` bytes is a problem and left out; so is the rest of a broken compressed stream.
    """
    number = 0
    try:
        for number, line in enumerate(iter(partial(file.readline, LIMIT + 1), b""), start=1):
            if len(line) > LIMIT:
                problems.bad(BadRecord(f"line of more than {LIMIT >> 20} MiB"), f"{name}: line {number}")
                while line and not line.endswith(b"\n"):
                    line = file.readline(CHUNK)
            elif line.strip():
                yield f"{name}: line {number}", line
    except UNREADABLE as error:
        problems.bad(BadRecord("not readable to its end", f"{type(error).__name__}: {error}"), f"{name}: after line {number}")
