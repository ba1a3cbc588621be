"""Examples as gradients of their loss with respect to LoRA weights, randomly projected: in the manner of LESS (arXiv 2402.04333).

Unlike LESS there is no warm-up training and no Adam state: one gradient at the base model, of the mean NLL of the output. LoRA
starts with B = 0, where A has no gradient; the gradient in B is that of the full weight matrix, its input side projected by A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from instune.model_checks import decoder_start
from instune.models import Precision, autocast
from instune.prompts import stable_integer
from instune.selection.projection import project
from instune.tuning.adapters import add_lora
from instune.tuning.batches import collate
from instune.tuning.loss import head_at, nll_of_labels
from instune.tuning.rows import TrainingRow

INPUTS = ("input_ids", "attention_mask", "decoder_input_ids")
GRADIENT_VERSION = 1  # part of the cache key: raise it when the same rows, model and settings get other vectors


def with_adapters(model: PreTrainedModel, *, rank: int, seed: int) -> PeftModel:
    """The model with LoRA on every linear layer, A drawn from `seed`, B zero and the only part that has a gradient."""
    adapted = add_lora(model, rank=rank, alpha=float(rank), dropout=0.0, seed=stable_integer("adapters", seed)).eval()
    for name, weight in adapted.named_parameters():
        weight.requires_grad_("lora_B" in name)
    return adapted


def trained(model: PeftModel) -> list[torch.nn.Parameter]:
    """The weights whose gradients count, in the model's order."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def gradient(model: PeftModel, row: TrainingRow, precision: Precision) -> torch.Tensor:
    """Gradient of the mean NLL of the row's output, float32 (p,)."""
    batch = collate([row], pad_id=0, decoder_start_id=decoder_start(model))
    batch = {name: value.to(model.device) for name, value in batch.items()}
    keep = batch["loss_weights"] > 0  # (1, T)
    with head_at(model, keep), autocast(model.device, precision):
        logits = model(**{name: batch[name] for name in INPUTS if name in batch}, use_cache=False).logits  # (N, V)
    loss = nll_of_labels(logits, batch["labels"][keep]).mean()
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, trained(model))])


def gradients(
    groups: Sequence[Sequence[TrainingRow]],
    advance: Callable[[int], None],
    *,
    model: PeftModel,
    dimension: int,
    seed: int,
    precision: Precision,
) -> list[np.ndarray]:
    """Unit vector of each row's projected gradient: float32 (n_i, dimension) of each group.

    Args:
        groups: rows, on whose outputs alone there is loss.
        advance: told of the tokens done.
        model: of `with_adapters`.
        dimension: of the projection.
        seed: of the projection.
    """
    full = []
    for rows in groups:
        parts = []
        for row in rows:
            parts.append(gradient(model, row, precision))
            advance(len(row.input_ids))
        full.append(torch.stack(parts))
    return [torch.nn.functional.normalize(part).cpu().numpy() for part in project(full, dimension, seed)]
