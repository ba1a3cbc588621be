"""One stage at a time on a GPU: several workers of `dvc queue` wait for each other instead of running out of its memory.

A device is locked by its UUID: workers with other CUDA_VISIBLE_DEVICES, which number devices anew, still mean the same one.
The system releases the lock of a process that ends in any way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from getpass import getuser
from pathlib import Path
from tempfile import gettempdir

import torch
from filelock import FileLock, Timeout

from instune.results import write_text


def visible_devices() -> list[str]:
    """UUIDs of the GPUs that this process may compute on; none on a CPU.

    Of the processes of one launch the first answers for all: if each locked a device, two launches could wait for each other.
    """
    if not torch.cuda.is_available() or os.environ.get("LOCAL_RANK", "0") != "0":
        return []
    return [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]


def lock_folder() -> Path:
    """Where this user's locks are, the same for every copy of the repository."""
    return Path(gettempdir()) / f"instune-{getuser()}"


@contextmanager
def _held(device: str, what: str, folder: Path) -> Iterator[None]:
    lock, holder = FileLock(folder / f"{device}.lock"), folder / f"{device}.holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        said = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        print(f"{what}: waiting for GPU {device}, held by {said}", flush=True)
        lock.acquire()
    try:
        write_text(holder, f"{what} (process {os.getpid()})")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def held(devices: Iterable[str], what: str, folder: Path) -> Iterator[None]:
    """Hold the devices, after waiting for whoever holds them; always in the same order, so that no two wait for each other.

    Args:
        what: says who holds them, to those that wait.
        folder: of the locks; made where it is missing.
    """
    with ExitStack() as stack:
        for device in sorted(set(devices)):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_held(device, what, folder))
        yield


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold every visible GPU; on a CPU nothing is held."""
    with held(visible_devices(), what, lock_folder()):
        yield
