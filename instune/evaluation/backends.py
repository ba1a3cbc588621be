"""lm-evaluation-harness's own models, opened on a model folder of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.huggingface import HFLM

from instune import models
from instune.errors import InputError
from instune.results import read_json

Backend = Literal["hf", "vllm"]
BatchSize = int | Literal["auto"]
LARGEST = 64  # where `auto` begins, as lm-eval's does
VLLM_CONTEXTS = 1024  # vLLM batches by itself; it gets so many at a time, so that a kill loses no more


@dataclass(frozen=True)
class Opened:
    """A model of lm-eval.

    Attributes:
        contexts: how many contexts to ask at once.
        shrink: makes batches smaller, or says that it cannot.
    """

    lm: TemplateLM
    contexts: int
    shrink: Callable[[], bool]


def check(backend: Backend, batch_size: BatchSize) -> None:
    """Refuse what cannot be opened, before anything is loaded.

    Raises:
        InputError: vllm is not installed, or is given a batch size.
    """
    if backend == "vllm" and find_spec("vllm") is None:
        raise InputError(
            "benchmarks.backend: vllm is not installed here. Install it (`pip install vllm`; it wants a GPU), or set "
            "benchmarks.backend: hf."
        )
    if backend == "vllm" and batch_size != "auto":
        raise InputError(
            f"benchmarks.batch_size: {batch_size} has no use under benchmarks.backend: vllm, which batches by itself. "
            "Set benchmarks.batch_size: auto."
        )


def open_model(
    folder: Path, *, backend: Backend, batch_size: BatchSize, device: torch.device, dtype: torch.dtype, seed: int
) -> Opened:
    """The model in `folder`.

    Args:
        batch_size: rows per pass of hf; auto: halved from 64 whenever memory does not suffice.

    Raises:
        InputError: no readable model there.
    """
    if backend == "vllm":
        return Opened(_vllm(folder, dtype, seed), VLLM_CONTEXTS, lambda: False)
    network = models.load_model(folder, device=device).to(dtype)
    rows = LARGEST if batch_size == "auto" else batch_size
    lm = HFLM(pretrained=network, tokenizer=models.load_tokenizer(folder), batch_size=rows)

    def shrink() -> bool:
        if batch_size != "auto" or lm.batch_size_per_gpu == 1:
            return False
        lm.batch_size_per_gpu //= 2
        return True

    return Opened(lm, rows, shrink)


def _vllm(folder: Path, dtype: torch.dtype, seed: int) -> TemplateLM:
    from lm_eval.models.vllm_causallms import VLLM  # imports vllm, which few have

    reference = folder / models.REFERENCE
    named = read_json(reference) if reference.exists() else {"name": str(folder), "revision": None}
    return VLLM(
        pretrained=named["name"],
        revision=named["revision"],
        dtype=str(dtype).removeprefix("torch."),
        tensor_parallel_size=torch.cuda.device_count(),
        seed=seed,
    )
