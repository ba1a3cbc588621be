"""Files and folders that appear whole or not at all, and what a full disk does to them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
SAID = tuple(os.strerror(number) for number in FULL)  # what libraries written in Rust or C++ leave of it


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def full_disk(error: BaseException | None) -> OSError | None:
    """The error of the system behind an exception where a disk or a quota is full, else None.

    Libraries wrap it: torch raises an error about positions in a file, with that of the system as its context; safetensors
    has the system's words in its own.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        if any(said in str(error) for said in SAID):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write a file or folder under, which takes its place at the end.

    Where writing fails `path` stays as it was, and nothing else is left; after a kill the temporary name is left, and is what
    the next call writes under.

    Raises:
        OSError: the disk is full; it names `path`, whatever was raised inside.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        if path.is_dir():
            _remove(path)
        partial.replace(path)
    except Exception as error:
        full = full_disk(error)
        if full is None:
            raise
        raise OSError(full.errno, os.strerror(full.errno), str(path)) from error
    finally:
        _remove(partial)
