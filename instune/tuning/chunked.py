"""Weighted cross-entropy, and KL to a base model, from hidden states: logits over the vocabulary a few positions at a time.

Logits become their own gradient in the forward pass, in place, as in Liger's fused linear cross-entropy (arXiv 2410.10989): each
chunk is multiplied out once, and neither the logits of a batch nor their gradient are ever held whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 1 << 24  # logits in memory at a time: 64 MiB in float32, 341 positions of a vocabulary of 49,152


class Head(NamedTuple):
    """Output embeddings: weight (V, d), and a bias (V,) or None."""

    weight: Tensor
    bias: Tensor | None


class Reference(NamedTuple):
    """What the base model reads at the same N places: hidden states (N, d') for its own head; `weight` of the KL in the loss."""

    hidden: Tensor
    head: Head
    weight: float


def kl_divergence(logits: Tensor, base_logits: Tensor) -> Tensor:
    """(N,) KL(model || base) in nats over the vocabulary, the direction of Eq. 5 of arXiv 2405.14394, from logits (N, V)."""
    logp, logq = logits.log_softmax(-1), base_logits.log_softmax(-1)
    return (logp.exp() * (logp - logq)).sum(-1)


def _nll(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) negative log-likelihood, and the gradient (n, V) of its weighted sum, in the place of the logits."""
    top = logits.amax(1, keepdim=True)
    said = logits.gather(1, labels[:, None])
    total = logits.sub_(top).exp_().sum(1, keepdim=True)
    gradient = logits.mul_(weights[:, None] / total)
    gradient.scatter_add_(1, labels[:, None], -weights[:, None])
    return (total.log() + top - said)[:, 0], gradient


def _nll_and_kl(
    logits: Tensor, base_logits: Tensor, labels: Tensor, weights: Tensor, kl_weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(n,) NLL, (n,) KL, and the gradient (n, V) of the weighted sum of NLL + kl_weight x KL, in the place of the base logits.

    dKL/dz_j = p_j (log p_j - log q_j - KL).
    """
    logp = logits.sub_(logits.logsumexp(1, keepdim=True))
    ratio = base_logits.sub_(base_logits.logsumexp(1, keepdim=True)).neg_().add_(logp)  # log p - log q
    nll = -logp.gather(1, labels[:, None])[:, 0]
    p = logp.exp_()
    kl = torch.einsum("nv,nv->n", p, ratio)
    gradient = ratio.sub_(kl[:, None]).mul_(kl_weight).add_(1.0).mul_(p).mul_(weights[:, None])
    gradient.scatter_add_(1, labels[:, None], -weights[:, None])
    return nll, kl, gradient


class _ChunkedLoss(torch.autograd.Function):
    """Sum of w (NLL + kl_weight x KL), and the sum of w x KL to look at; differentiable once, in hidden states and head."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        reference: Reference | None,
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        wide = torch.promote_types(dtype, torch.float32)
        weights = weights.to(wide)
        sums = hidden.new_zeros(2, dtype=wide)
        gradients = [
            torch.zeros_like(tensor, dtype=wide) if needed and tensor is not None else None
            for tensor, needed in zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
        ]
        with torch.autocast(device, enabled=False):
            head = Head(weight.to(dtype), None if bias is None else bias.to(dtype))
            size = max(1, CHUNK_ELEMENTS // len(weight))
            for part in (slice(start, start + size) for start in range(0, len(labels), size)):
                inputs = hidden[part].to(dtype)
                logits = F.linear(inputs, *head).to(wide)  # (n, V)
                if reference is None:
                    nll, slope = _nll(logits, labels[part], weights[part])
                    sums[0] += weights[part] @ nll
                else:
                    base = F.linear(reference.hidden[part].to(dtype), *(x if x is None else x.to(dtype) for x in reference.head))
                    nll, kl, slope = _nll_and_kl(logits, base.to(wide), labels[part], weights[part], reference.weight)
                    sums += torch.stack([weights[part] @ (nll + reference.weight * kl), weights[part] @ kl])
                _add_gradients(gradients, slope.to(dtype), inputs, head.weight, part)
                del logits, slope  # before the next chunk's are made
        ctx.gradients, ctx.dtypes = gradients, [None if x is None else x.dtype for x in (hidden, weight, bias)]
        total, kl = sums[0].clone(), sums[1].clone()
        ctx.mark_non_differentiable(kl)
        return total, kl

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        scaled = (None if x is None else x.mul_(upstream).to(dtype) for x, dtype in zip(gradients, ctx.dtypes, strict=True))
        return *scaled, None, None, None


def _add_gradients(gradients: list[Tensor | None], slope: Tensor, inputs: Tensor, weight: Tensor, part: slice) -> None:
    hidden, head, bias = gradients
    if hidden is not None:
        hidden[part] = slope @ weight
    if head is not None and head.dtype == slope.dtype:
        head.addmm_(slope.T, inputs)
    elif head is not None:
        head += slope.T @ inputs
    if bias is not None:
        bias += slope.sum(0)


def chunked_loss(
    hidden: Tensor, head: Head, labels: Tensor, weights: Tensor, reference: Reference | None = None
) -> tuple[Tensor, Tensor]:
    """Sum over positions of weight x (NLL + KL x its weight), and the sum of weight x KL, which has no gradient; both ().

    Args:
        hidden: (N, d) in front of the output embeddings.
        labels: (N,) without ignored ones.
        weights: (N,).
    """
    return _ChunkedLoss.apply(hidden, *head, labels, weights, reference)
