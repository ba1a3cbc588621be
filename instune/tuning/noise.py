"""NEFTune: noise on the input embeddings of training rows (arXiv 2310.05914)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def neftune_noise(lengths: Tensor, seeds: Tensor, alpha: float, like: Tensor, *, packed: bool) -> Tensor:
    """Uniform noise in +-alpha / sqrt(L d) on each row's L tokens, a function of the row's seed: whatever else is in the batch.

    L is the row's own length. The authors' code and transformers take the padded width of the batch instead, so that a row's
    noise shrinks with the longest row beside it. Of a seq2seq row it is the source that carries noise.

    Args:
        lengths: (rows,) tokens of each row.
        seeds: (rows,) int64.
        like: (B, T, d) embeddings: size, device and dtype.
        packed: the rows stand end to end in one sequence, not one below the other.

    Returns:
        (B, T, d), 0 at padding.
    """
    rows, size = [], like.shape[-1]
    for length, seed in zip(lengths.tolist(), seeds.tolist(), strict=True):
        generator = torch.Generator(like.device).manual_seed(seed)
        bound = alpha / math.sqrt(length * size)
        rows.append(torch.empty(length, size, dtype=like.dtype, device=like.device).uniform_(-bound, bound, generator=generator))
    return torch.cat(rows)[None] if packed else pad_sequence(rows, batch_first=True)
