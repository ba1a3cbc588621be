"""Means over the processes of a data-parallel run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def mean_over_ranks(vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The mean over all ranks of the process group, the same bits on each; the vector itself where there is one process.

    What is sharded (FSDP) is left alone: its backward pass has taken the mean already.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tuple(vector)
    return tuple(tensor if isinstance(tensor, DTensor) else _mean(tensor) for tensor in vector)


def _mean(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()
