"""Vectors that live in several tensors at once, such as the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Vector = tuple[Tensor, ...]
MatrixVector = Callable[[Vector], Vector]


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Inner product over all tensors; the sum over tensors is in double precision."""
    return float(sum((a.detach() * b.detach()).sum().double() for a, b in zip(left, right, strict=True)))


def norm(vector: Sequence[Tensor]) -> float:
    """Euclidean norm over all tensors."""
    return float(sum(torch.linalg.vector_norm(tensor.detach()).double() ** 2 for tensor in vector)) ** 0.5


def scaled(vector: Sequence[Tensor], factor: float) -> Vector:
    """factor * vector."""
    return tuple(tensor * factor for tensor in vector)


def plus(left: Sequence[Tensor], right: Sequence[Tensor], factor: float = 1.0) -> Vector:
    """left + factor * right."""
    return tuple(torch.add(a, b, alpha=factor) for a, b in zip(left, right, strict=True))


def cosine(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Cosine of the angle between two vectors, 0 where one of them is 0."""
    lengths = norm(left) * norm(right)
    return dot(left, right) / lengths if lengths else 0.0
