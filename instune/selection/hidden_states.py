"""Examples as position-weighted means of the base model's last hidden states: RDS+ (arXiv 2503.01807)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from instune.models import Precision, autocast
from instune.tuning.batches import collate, micro_batches
from instune.tuning.rows import TrainingRow

HIDDEN_STATE_VERSION = 1  # part of the cache key: raise it when the same rows, model and settings get other vectors


def weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the states (B, T, d) with weights 1, 2, 3, ... over the positions of the mask (B, T): (B, d).

    The weights are those of SGPT (arXiv 2202.08904), as in RDS+'s code (minimal_multitask/compute_influence_cosinesim.py,
    `weighted_mean`): late positions have read more. Nothing is centred, there or here.
    """
    weights = torch.arange(1, states.shape[1] + 1, device=states.device) * mask  # (B, T)
    return torch.einsum("bt,btd->bd", weights / weights.sum(1, keepdim=True), states)


@torch.no_grad()
def hidden_states(
    groups: Sequence[Sequence[TrainingRow]],
    advance: Callable[[int], None],
    *,
    model: PreTrainedModel,
    pad_id: int,
    batch_tokens: int,
    precision: Precision,
) -> list[np.ndarray]:
    """Unit vector of each row, prompt and output together as training sees them: float32 (n_i, d) of each group.

    Args:
        groups: rows; a batch never spans two groups.
        advance: told of the tokens done.
        model: causal; of an encoder-decoder model the encoder reads the whole row.
        batch_tokens: padded tokens per pass.
    """
    body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    results = []
    for rows in groups:
        order, means = sorted(range(len(rows)), key=lambda place: len(rows[place].input_ids)), []  # as micro_batches sorts them
        for part in micro_batches(rows, batch_tokens):
            batch = collate(part, pad_id=pad_id)
            ids, mask = (batch[name].to(model.device) for name in ("input_ids", "attention_mask"))
            with autocast(model.device, precision):
                states = body(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, d)
            means.append(torch.nn.functional.normalize(weighted_mean(states.float(), mask)).cpu())
            advance(int(mask.sum()))
        vectors = np.empty((len(rows), means[0].shape[1]), dtype=np.float32)
        vectors[order] = torch.cat(means).numpy()
        results.append(vectors)
    return results
