"""The optimizers of fine-tuning and how the learning rate runs over the steps."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import nn
from transformers.optimization import Adafactor as TransformersAdafactor

from instune.config import Section

Momentum = Annotated[float, Field(ge=0, lt=1)]
Schedule = Literal["linear", "constant"]


class AdamW(Section):
    """torch.optim.AdamW (arXiv 1711.05101)."""

    name: Literal["adamw"]
    beta1: Momentum
    beta2: Momentum
    epsilon: PositiveFloat


class Adafactor(Section):
    """transformers' Adafactor at the given learning rate, as `adafactor=True` sets it in its trainer (arXiv 1804.04235).

    torch.optim.Adafactor scales the rate by each parameter's size and caps it at 1 / sqrt(step), without a switch for either.
    """

    name: Literal["adafactor"]


Optimizer = Annotated[AdamW | Adafactor, Field(discriminator="name")]


def new_optimizer(
    model: nn.Module, optimizer: AdamW | Adafactor, *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer over what requires a gradient; weight decay on matrices only."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(optimizer, Adafactor):
        return TransformersAdafactor(groups, lr=learning_rate, scale_parameter=False, relative_step=False)
    betas = (optimizer.beta1, optimizer.beta2)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=optimizer.epsilon, fused=True)


def learning_rate_at(step: int, steps: int, *, peak: float, warmup_share: float, schedule: Schedule) -> float:
    """The rate of a step, counted from 0.

    Linear warm-up over the first `warmup_share` of the steps, then `constant`: the peak to the end; `linear`: a decay that would
    reach 0 one step after the last.
    """
    warmup = math.ceil(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    return peak * (steps - step) / (steps - warmup)
