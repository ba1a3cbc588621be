"""Floating-point operations of a selector, estimated from tokens and parameters; attention's square term is left out."""

from __future__ import annotations

from torch import nn


def matrix_weights(model: nn.Module) -> int:
    """Weights that every token is multiplied with: all matrices but the embeddings."""
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    return sum(weight.numel() for weight in model.parameters() if weight.dim() > 1 and id(weight) not in embeddings)


def forward(weights: int, tokens: int) -> int:
    """Two operations, a product and a sum, per weight and token."""
    return 2 * weights * tokens
