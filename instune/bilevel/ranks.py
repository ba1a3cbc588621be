"""The processes of a data-parallel run: which one this is, its part of a batch, and means over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


def is_first() -> bool:
    """Whether this process writes files and speaks: rank 0, or the only one."""
    return not _grouped() or dist.get_rank() == 0


def own_part(size: int) -> tuple[range, int]:
    """Places of this rank's rows in a batch of `size`, every n-th for n ranks, perhaps none; and n."""
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if _grouped() else (0, 1)
    return range(rank, size, ranks), ranks


def mean_over_ranks(vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The mean over all ranks of the process group, the same bits on each; the vector itself where there is one process.

    What is sharded (FSDP) is left alone: its backward pass has taken the mean already.
    """
    if not _grouped() or dist.get_world_size() == 1:
        return tuple(vector)
    return tuple(tensor if isinstance(tensor, DTensor) else _mean(tensor) for tensor in vector)


def _mean(tensor: Tensor) -> Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()
