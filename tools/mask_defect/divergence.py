"""The gradient of the released "KL" beside that of the divergence that Eq. 5 of arXiv 2405.14394 names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

Penalty = Callable[[Tensor, Tensor, Tensor], Tensor]


def released(own: Tensor, base: Tensor, labels: Tensor) -> Tensor:
    """What src/utils.py of the paper's code computes: the difference of the two log-probabilities of the data, (N,).

    With the NLL of the same tokens, 1 - lambda of the NLL's gradient is left; at lambda 1, nothing.

    Args:
        own: (N, V) log-probabilities of the model that is trained.
        base: (N, V) of the one it started from.
        labels: (N,) the data's next tokens.
    """
    return (own - base).gather(1, labels[:, None])[:, 0]


def true(own: Tensor, base: Tensor, labels: Tensor) -> Tensor:
    """KL(own || base) over the vocabulary, (N,); labels are not looked at."""
    return F.kl_div(base, own, log_target=True, reduction="none").sum(1)


PENALTIES: dict[str, Penalty] = {"released": released, "true": true}


def gradient_norms(
    model: PreTrainedModel, base: PreTrainedModel, ids: Tensor, lambdas: Sequence[float]
) -> list[dict[str, float]]:
    """Norm of the gradient of mean NLL + lambda x mean penalty, for every lambda and both penalties.

    Args:
        ids: (B, T) token ids.
    """
    labels = ids[:, 1:].flatten()  # (N,)
    with torch.no_grad():
        start = F.log_softmax(base(ids).logits[:, :-1].flatten(0, 1), -1)  # (N, V)
    found = []
    for weight in lambdas:
        norms = {"lambda": weight}
        for name, penalty in PENALTIES.items():
            own = F.log_softmax(model(ids).logits[:, :-1].flatten(0, 1), -1)  # (N, V)
            loss = F.nll_loss(own, labels) + weight * penalty(own, start, labels).mean()
            parts = torch.autograd.grad(loss, list(model.parameters()))
            norms[name] = torch.sqrt(sum(part.square().sum() for part in parts)).item()
        found.append(norms)
    return found
