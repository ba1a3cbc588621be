"""A fold's state on disk, so that a killed run goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instune.bilevel.ranks import is_first
from instune.files import replacing
from instune.tuning.checkpoint import read, whole


@dataclass
class FoldState:
    """What a fold needs to go on.

    Attributes:
        step: outer steps done.
        phi: instruction parameters on the CPU; once the fold is done, the best ones by validation where there is any.
        outer, inner: states of the optimizers.
        theta: the model's trainable tensors; once the fold is done, empty unless they are part of the result.
        gamma: step of the series, None before it is estimated.
        difference_step: length of the perturbation of central differences, None before it is chosen.
        previous: the last hypergradient, for the cosine of successive ones.
        history: what each outer step reported.
        best: parameters of lowest validation loss so far.
        best_step: outer steps done at that time.
        best_loss: that loss, None before the first validation.
        agreement: of the first hypergradients with exact ones, where that was measured.
        dropped: examples drawn that did not fit, by reason.
        done: no step is left to take.
    """

    step: int
    phi: list[Tensor]
    outer: dict[str, Any] = field(default_factory=dict)
    inner: dict[str, Any] = field(default_factory=dict)
    theta: list[Tensor] = field(default_factory=list)
    gamma: float | None = None
    difference_step: float | None = None
    previous: list[Tensor] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    best: list[Tensor] = field(default_factory=list)
    best_step: int = 0
    best_loss: float | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def save(self, path: Path) -> None:
        """Write whole or not at all; of several ranks, which hold the same, the first does."""
        if not is_first():
            return
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(vars(self), file)  # into an open file: by name, torch does not tell that the disk is full

    @classmethod
    def load(cls, path: Path) -> FoldState:
        """Read what `save` wrote; only tensors and plain values are unpickled.

        Raises:
            InputError: the checkpoint is broken.
        """
        with whole(path):
            return cls(**read(path))
