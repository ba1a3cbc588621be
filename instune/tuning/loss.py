"""The weighted loss of an optimizer step, exact over micro-batches, and the head applied only where a label is.

Loss of a step = sum over its rows of scale(row) x sum_t weight_t x NLL_t, divided by the sum over its rows of share(row).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from instune.tuning.labels import IGNORE_INDEX

Normalization = Literal["weights", "weighted_tokens", "output_tokens", "examples"]


def nll_of_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood in nats of aligned labels, in float32 or wider; 0 where ignored.

    Args:
        logits: (..., V).
        labels: (...), `IGNORE_INDEX` where there is nothing to predict.
    """
    scores = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    flat = F.cross_entropy(scores, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    return flat.view(labels.shape)


def token_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(B, T-1) negative log-likelihood of each label but the first, from logits (B, T, V) one place earlier; 0 where ignored."""
    return nll_of_labels(logits[:, :-1], labels[:, 1:])


def row_scale(weights: Sequence[float], normalize_by: Normalization) -> float:
    """The factor on a row's weights before they are summed over the step: 1, or 1 / (their sum) for `examples`."""
    return 1.0 / sum(weights) if normalize_by == "examples" else 1.0


def row_share(weights: Sequence[float], output_tokens: int, normalize_by: Normalization) -> float:
    """What a row adds to the step's denominator.

    `weights`: the sum of its weights; `weighted_tokens`: how many are positive (as WIT, TRL pull request 6747); `output_tokens`:
    its output tokens, so that the output's gradient does not shrink as other weights grow; `examples`: 1 (as the IM code of
    arXiv 2405.14394, which averages over micro-batches of one example).

    Args:
        weights: (T,) loss weights, 0 at the first token, which nothing predicts.
        output_tokens: tokens of the segment `output`, terminator included.
    """
    if normalize_by == "weights":
        return sum(weights)
    if normalize_by == "weighted_tokens":
        return float(sum(weight > 0 for weight in weights))
    return float(output_tokens) if normalize_by == "output_tokens" else 1.0


@contextmanager
def head_at(model: PreTrainedModel, keep: torch.Tensor) -> Iterator[None]:
    """Within this context the model returns logits (N, V) of the N places of `keep` (B, T) only, in row order.

    Most of a step's memory and much of its time is logits over the vocabulary; the places without a label need none. The gather
    sits in front of the output embeddings, so that whatever a model does to its logits afterwards still happens.
    """
    handle = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][keep],))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def hidden_at(model: PreTrainedModel, keep: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Within this context each pass of the model adds the hidden states (N, d) that its output embeddings would read at `keep`.

    The output embeddings themselves stay out of it: the model's logits are then a single zero.
    """
    head, found = model.get_output_embeddings(), []

    def gather(hidden: torch.Tensor) -> torch.Tensor:
        found.append(hidden[keep])
        return hidden.new_zeros(1, 1)

    head.forward = gather  # the instance's own, in front of its class's
    try:
        yield found
    finally:
        del head.forward
