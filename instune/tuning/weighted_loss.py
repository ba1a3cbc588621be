"""The weighted loss of one micro-batch through the model, as plain autograd and as training computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from instune.tuning.chunked import Head, Reference, chunked_loss, kl_divergence
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.loss import head_at, hidden_at, nll_of_labels
from instune.tuning.noise import neftune_noise

Batch = dict[str, Tensor]


def model_inputs(model: PreTrainedModel, batch: Batch, neftune_alpha: float = 0.0) -> dict[str, Any]:
    """What the model is called with: token ids, or embeddings where soft instructions or noise stand in them."""
    packed = "row_starts" in batch
    names = ("position_ids", "row_starts") if packed else ("attention_mask",)
    inputs = {name: batch[name] for name in (*names, "decoder_input_ids") if name in batch} | {"use_cache": False}
    if not neftune_alpha and "soft_places" not in batch:
        return inputs | {"input_ids": batch["input_ids"]}
    embeddings = model.get_input_embeddings()(batch["input_ids"])  # (B, S, d)
    if neftune_alpha:
        lengths = batch["row_starts"].diff() if packed else batch["attention_mask"].sum(1)
        embeddings = embeddings + neftune_noise(lengths, batch["noise_seeds"], neftune_alpha, embeddings, packed=packed)
    if "soft_places" in batch:
        soft = batch["soft_embeddings"].to(embeddings.dtype)
        embeddings = embeddings.masked_scatter(batch["soft_places"][..., None], soft)
    return inputs | {"inputs_embeds": embeddings}


class WeightedLoss(nn.Module):
    """Sum of weight x NLL over one micro-batch by plain autograd: differentiable as often as the model is."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """A scalar in float32 from `collate`'s or `collate_packed`'s tensors."""
        keep = batch["labels"] != IGNORE_INDEX  # (B, T)
        with head_at(self.model, keep):
            logits = self.model(**model_inputs(self.model, batch)).logits  # (N, V)
        return (batch["loss_weights"][keep] * nll_of_labels(logits, batch["labels"][keep])).sum()


def _head(model: PreTrainedModel) -> Head:
    embeddings = model.get_output_embeddings()
    return Head(embeddings.weight, embeddings.bias)


def _changes_logits(model: PreTrainedModel) -> bool:
    """Whether something follows the output embeddings: a soft cap (Gemma 2), a factor (Cohere, Granite)."""
    head = model.get_output_embeddings()
    marked = torch.linspace(-100, 100, head.out_features, device=model.device)[None, None]  # (1, 1, V)
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})
    handle = head.register_forward_hook(lambda *_: marked)
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits
    handle.remove()
    return not torch.equal(logits, marked)


@contextmanager
def _without_adapters(model: PeftModel) -> Iterator[PreTrainedModel]:
    training = model.training
    with model.disable_adapter():
        yield model.eval()
    model.train(training)


class TrainingLoss(nn.Module):
    """Sum of weight x (NLL + kl_weight x KL to the base model), in a module of its own so that data parallelism sees each pass.

    KL(model || base) over the vocabulary at the tokens with loss (Eq. 5 of arXiv 2405.14394). Noise and KL are of training mode
    alone. Logits are held some positions at a time, save for models that change them after the head.
    """

    def __init__(self, model: PreTrainedModel, *, neftune_alpha: float = 0.0, kl_weight: float = 0.0) -> None:
        """Take the model as it is now for base: a copy of it, or for LoRA the model with its adapters off."""
        super().__init__()
        self.model, self.neftune_alpha, self.kl_weight = model, neftune_alpha, kl_weight
        self.whole = _changes_logits(model)
        self._base: Callable[[], Any] | None = None
        if kl_weight and isinstance(model, PeftModel):
            self._base = lambda: _without_adapters(model)
        elif kl_weight:
            base = deepcopy(model).requires_grad_(False).eval()
            self._base = lambda: nullcontext(base)  # held by the closure: no part of what is trained or saved

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two scalars in float32 from `collate`'s or `collate_packed`'s tensors: the loss, and the weighted sum of KL alone."""
        training = self.model.training
        keep = batch["labels"] != IGNORE_INDEX  # (B, T)
        labels, weights = batch["labels"][keep], batch["loss_weights"][keep]
        reference = self._reference(batch, keep) if self._base and training else None
        inputs = model_inputs(self.model, batch, self.neftune_alpha if training else 0.0)
        read = self._read(self.model, inputs, keep)
        if not self.whole:
            return chunked_loss(read, _head(self.model), labels, weights, reference)
        nll = (weights * nll_of_labels(read, labels)).sum()
        kl = torch.zeros_like(nll)
        if reference is not None:
            kl = (weights * kl_divergence(read.float(), reference.hidden.float())).sum()
        return nll + self.kl_weight * kl, kl.detach()

    def _read(self, model: PreTrainedModel, inputs: dict[str, Any], keep: Tensor) -> Tensor:
        """(N, d) hidden states of the places of `keep`, or (N, V) logits where they have to be held whole."""
        if self.whole:
            with head_at(model, keep):
                return model(**inputs).logits
        with hidden_at(model, keep) as found:
            model(**inputs)
        return found[0]

    @torch.no_grad()
    def _reference(self, batch: Batch, keep: Tensor) -> Reference:
        with self._base() as base:
            # where logits are held whole, they stand for the hidden states
            return Reference(self._read(base, model_inputs(base, batch), keep), _head(base), self.kl_weight)
