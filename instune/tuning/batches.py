"""Rows of an optimizer step to padded micro-batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow


def micro_batches(rows: Sequence[TrainingRow], max_padded_tokens: int) -> list[list[TrainingRow]]:
    """Rows sorted by length and cut so that rows x longest stays within the limit; a longer row stands alone.

    The step's loss is one sum over all rows, so grouping by length changes memory and speed but not the gradient.
    """
    groups: list[list[TrainingRow]] = []
    for row in sorted(rows, key=lambda row: len(row.input_ids)):
        if groups and (len(groups[-1]) + 1) * len(row.input_ids) <= max_padded_tokens:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _padded(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=dtype)  # (B, T)


def _soft(rows: Sequence[TrainingRow], width: int, soft_prompts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    places = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        places[number, row.soft[0] : sum(row.soft)] = True
    return {"soft_places": places, "soft_embeddings": torch.cat(list(soft_prompts))} if soft_prompts else {}


def collate(
    rows: Sequence[TrainingRow],
    *,
    pad_id: int,
    decoder_start_id: int | None = None,
    soft_prompts: Sequence[torch.Tensor] = (),
) -> dict[str, torch.Tensor]:
    """Right-padded tensors; padding is masked by position, so a pad token that is also the terminator does no harm.

    Args:
        rows: all causal, or all seq2seq.
        decoder_start_id: what a seq2seq decoder reads first; its labels are aligned with its own inputs.
        soft_prompts: (n, d) embeddings of the soft instruction of every row that has one, in row order.

    Returns:
        `input_ids`, `attention_mask` (B, S); `labels`, `loss_weights` (B, T), shifted so that logits at a position predict the
        label at the same position, weight 0 where there is none; for seq2seq also `decoder_input_ids` (B, T); where rows have
        soft instructions also `soft_places` (B, S) and `soft_embeddings` (number of places, d), in row order.
    """
    seq2seq = decoder_start_id is not None
    sources = [row.input_ids[: row.source] if seq2seq else row.input_ids for row in rows]
    cuts = [row.source if seq2seq else 1 for row in rows]
    tail = [] if seq2seq else [0]  # a causal row's last position predicts nothing
    batch = {
        "input_ids": _padded(sources, pad_id, torch.long),
        "attention_mask": _padded([[1] * len(source) for source in sources], 0, torch.long),
        "labels": _padded(
            [row.labels[cut:] + [IGNORE_INDEX] * len(tail) for row, cut in zip(rows, cuts, strict=True)], IGNORE_INDEX, torch.long
        ),
        "loss_weights": _padded(
            [row.loss_weights[cut:] + [0.0] * len(tail) for row, cut in zip(rows, cuts, strict=True)], 0.0, torch.float32
        ),
    }
    batch |= _soft(rows, batch["input_ids"].shape[1], soft_prompts)
    if seq2seq:
        targets = [[decoder_start_id, *row.input_ids[row.source : -1]] for row in rows]
        batch["decoder_input_ids"] = _padded(targets, pad_id, torch.long)
    return batch
