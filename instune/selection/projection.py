"""Random projection of long vectors by a matrix of signs that is drawn in blocks and never held whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from instune.prompts import stable_integer

BLOCK = 4096  # rows of the matrix drawn at once; what changes the matrix raises GRADIENT_VERSION in gradients.py


def signs(seed: int, block: int, dimension: int) -> torch.Tensor:
    """Block of the sign matrix, float32 (BLOCK, dimension) of +1 and -1, drawn from seed, any integer, and block number alone."""
    key = np.array([stable_integer("projection", seed), block], dtype=np.uint64)
    words = np.random.Philox(key=key).random_raw(BLOCK * dimension // 64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8))
    return torch.from_numpy(bits).view(BLOCK, dimension).float().mul_(2).sub_(1)


def project(groups: Sequence[torch.Tensor], dimension: int, seed: int) -> list[torch.Tensor]:
    """Each group (n_i, p) times the sign matrix (p, dimension) over sqrt(dimension): lengths and angles are kept on average.

    A group's result does not depend on the others; together they share the drawing of the matrix.
    """
    sums = [group.new_zeros(len(group), dimension) for group in groups]
    width = groups[0].shape[1]
    for block, start in enumerate(range(0, width, BLOCK)):
        matrix = signs(seed, block, dimension)[: width - start].to(groups[0].device)
        for group, total in zip(groups, sums, strict=True):
            total += group[:, start : start + BLOCK] @ matrix
    return [total / dimension**0.5 for total in sums]
