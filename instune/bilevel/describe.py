"""Soft prompts in terms that a person can read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase


def nearest_tokens(prompt: Tensor, table: Tensor, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, str | float]]:
    """The vocabulary token of largest cosine to each soft token, with that cosine.

    Args:
        prompt: (n, d).
        table: (V, d) the model's input embeddings.
    """
    cosines = F.normalize(prompt, dim=-1) @ F.normalize(table, dim=-1).T  # (n, V)
    values, ids = cosines.max(dim=-1)
    pairs = zip(ids.tolist(), values.tolist(), strict=True)
    return [{"token": tokenizer.decode([token]), "cosine": round(value, 4)} for token, value in pairs]


def diversity(instructions: Tensor) -> dict[str, float]:
    """How unlike each other instructions are.

    Args:
        instructions: (n_task, d), one embedding per instruction (the mean over its tokens), n_task >= 2.

    Returns:
        `mean_cosine_distance` over all pairs, in [0, 2]; `singular_value_entropy` in nats, of the singular values of the
        centred matrix scaled to sum to 1: 0 where all vary along one direction, at most log(n_task - 1).
    """
    unit = F.normalize(instructions.double(), dim=-1)
    count = len(unit)
    similar = (unit @ unit.T).sum() - (unit * unit).sum()
    values = torch.linalg.svdvals(instructions.double() - instructions.double().mean(0))
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return {
        "mean_cosine_distance": float(1 - similar / (count * (count - 1))),
        "singular_value_entropy": float(torch.special.entr(shares).sum()),
    }
