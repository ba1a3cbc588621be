"""The optimizers of both levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from instune.bilevel.schedule import Schedule


class Optimizers:
    """Adam on phi, and SGD or Adam on theta, each on gradients that are put in front of its step."""

    def __init__(self, phi: Sequence[Tensor], theta: Sequence[Tensor], schedule: Schedule) -> None:
        self.outer = torch.optim.Adam(phi, lr=schedule.outer_learning_rate)
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[schedule.inner_optimizer]
        self.inner = kind(theta, lr=schedule.inner_learning_rate)
