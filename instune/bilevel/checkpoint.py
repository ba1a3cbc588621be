"""A fold's state on disk, so that a killed run goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@dataclass
class FoldState:
    """What a fold needs to go on.

    Attributes:
        step: outer steps done.
        prompts: phi, (n_task, n, d) on the CPU.
        outer: state of the outer optimizer.
        theta: the model's trainable tensors, empty once the fold is done.
        gamma: step of the series, None before it is estimated.
        difference_step: length of the perturbation of central differences, None before it is chosen.
        previous: the last hypergradient, for the cosine of successive ones.
        history: what each outer step reported.
        dropped: examples drawn that did not fit, by reason.
    """

    step: int
    prompts: Tensor
    outer: dict[str, Any] = field(default_factory=dict)
    theta: list[Tensor] = field(default_factory=list)
    gamma: float | None = None
    difference_step: float | None = None
    previous: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(vars(self), partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> FoldState:
        """Read what `save` wrote; only tensors and plain values are unpickled."""
        return cls(**torch.load(path, weights_only=True, map_location="cpu"))
