"""Checkpoints of a run under a key of everything that determines it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from instune.errors import InputError
from instune.files import replacing
from instune.shown import first_line

FILE = "state.pt"


def run_key(params: Any, files: Iterable[Path]) -> str:
    """16 hex digits over parameters and the content of files (all below it, for a folder): a changed run shares no checkpoint."""
    digest = hashlib.blake2b(json.dumps(params, sort_keys=True).encode(), digest_size=8)
    for root in files:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"\0{path.name}\0".encode())
                with path.open("rb") as stream:
                    while block := stream.read(1 << 20):
                        digest.update(block)
    return digest.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Refuse a checkpoint that cannot be taken up.

    Raises:
        InputError: whatever the reading raises: a file written by us is broken in ways that nobody lists.
    """
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{path}: a broken checkpoint of an earlier run ({first_line(error)}).\n"
            f"  Delete the folder {path.parent}, and run again."
        ) from None


def read(path: Path) -> Any:
    """Plain values and tensors that `torch.save` wrote, on the CPU, held to their checksums, which torch does not look at.

    Raises:
        ValueError: a byte is not as it was written.
    """
    with zipfile.ZipFile(path) as parts:
        if broken := parts.testzip():
            raise ValueError(f"{broken} in it is not as it was written")
    return torch.load(path, map_location="cpu", weights_only=True)


def save(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, *, step: int, history: list) -> None:
    """Write the trained parameters, the optimizer's state, the steps done and the history, replacing the last checkpoint."""
    trained = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    state = {"step": step, "parameters": trained, "optimizer": optimizer.state_dict(), "history": history}
    with replacing(folder / FILE) as partial, partial.open("wb") as file:
        torch.save(state, file)  # into an open file: by name, torch does not tell that the disk is full


def load(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> tuple[int, list] | None:
    """Restore model and optimizer in place; returns the steps done and the history, or None where there is no checkpoint.

    Raises:
        InputError: the checkpoint is broken.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with whole(path):
        state = read(path)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(state["parameters"][name])
        optimizer.load_state_dict(state["optimizer"])
        return state["step"], state["history"]
