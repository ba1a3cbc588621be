"""Gradients of a loss that may come in parts, over the ranks of a data-parallel run, with `.grad` left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from instune.bilevel.ranks import mean_over_ranks
from instune.bilevel.vectors import Vector

Loss = Callable[[], Tensor | Iterable[Tensor]]
"""A loss, () or several of shape () that sum to it: an iterator of micro-batches needs the memory of one.

It must be the same function each time it is called: one fixed batch, dropout off. Over several ranks the loss meant is the mean
of the ranks' losses.
"""


def parts(loss: Loss) -> Iterable[Tensor]:
    """The summands of one evaluation."""
    value = loss()
    return (value,) if isinstance(value, Tensor) else value


@contextmanager
def empty_gradients(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Within this context `.grad` starts as None and is free to use; afterwards it is what it was."""
    kept = [tensor.grad for tensor in tensors]
    _put(tensors, [None] * len(tensors))
    try:
        yield
    finally:
        _put(tensors, kept)


def accumulate(loss: Loss, inputs: Sequence[Tensor], factor: float = 1.0) -> float:
    """Add factor * gradient to the inputs' `.grad`, in place, and return the loss on this rank.

    Adding up where the backward pass writes needs one copy of the gradient where a difference of two needs two, and it is the
    only way that sharded parameters know.
    """
    total = 0.0
    sharded = any(isinstance(tensor, DTensor) for tensor in inputs)  # their leaves are not these tensors
    for part in parts(loss):
        total += part.item()
        if part.requires_grad:
            part.backward(torch.full_like(part, factor), inputs=None if sharded else list(inputs))
    return total


def take(inputs: Sequence[Tensor]) -> Vector:
    """The accumulated gradients, zeros where the loss does not depend on an input; the mean over ranks."""
    return mean_over_ranks([torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in inputs])


def gradient(loss: Loss, inputs: Sequence[Tensor]) -> tuple[float, Vector]:
    """Value and gradient of a loss, both the mean over ranks."""
    with empty_gradients(inputs):
        value = accumulate(loss, inputs)
        found = take(inputs)
    (mean,) = mean_over_ranks([torch.tensor(value, dtype=torch.float64, device=inputs[0].device)])
    return mean.item(), found


def _put(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    for tensor, value in zip(tensors, gradients, strict=True):
        tensor.grad = value
