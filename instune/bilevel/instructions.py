"""The loss of one batch with what phi puts into it, dropout off, one micro-batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instune.bilevel.parameterizations.base import Terms
from instune.bilevel.ranks import own_part
from instune.models import Precision, autocast
from instune.tuning.batches import collate, micro_batches
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import WeightedLoss


def no_terms(rows: Sequence[int]) -> Terms:
    """Rows as they are: human instructions, weight 1."""
    return Terms()


@dataclass(frozen=True)
class Passes:
    """How a batch goes through the model.

    Attributes:
        pad_id: token of padding, which is masked.
        decoder_start_id: what a seq2seq decoder reads first; None for a causal model.
        micro_batch_tokens: padded tokens in memory at a time; None: the whole batch.
        precision: of matrix products; parameters, sums and phi stay as they are.
    """

    pad_id: int
    decoder_start_id: int | None = None
    micro_batch_tokens: int | None = None
    precision: Precision = "float32"


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off in every module, and each module's own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def fitted(row: TrainingRow, length: int) -> TrainingRow:
    """The row with a place of `length` for its soft instruction, at most as many as it has: what is left out needs no mask.

    A seq2seq source is shortened with it.
    """
    start, places = row.soft
    if length == places:
        return row
    cut = slice(start + length, start + places)
    ids, labels, weights = list(row.input_ids), list(row.labels), list(row.loss_weights)
    del ids[cut], labels[cut], weights[cut]
    source = row.source - (places - length) if row.source else 0
    return replace(row, input_ids=ids, labels=labels, loss_weights=weights, soft=(start, length), source=source)


def batch_parts(
    model: PreTrainedModel, rows: Sequence[TrainingRow], passes: Passes, terms: Callable[[Sequence[int]], Terms] = no_terms
) -> Iterator[Tensor]:
    """Weighted mean NLL in nats per token, as summands () of one micro-batch each: the same function at every call.

    Of several ranks each gives its own rows, the others' left out; the mean of the ranks' sums is the batch's loss.

    Args:
        rows: the whole batch, the same on every rank.
        terms: of the rows at these positions, made anew for every part, whose backward pass frees its graph.
    """
    own_rows, ranks = own_part(len(rows))
    share = sum(row.share for row in rows) / ranks
    for group in _groups(rows, own_rows, passes.micro_batch_tokens):
        found = terms(group)
        soft = iter(found.soft)
        own = [next(soft) if rows[index].soft[1] else None for index in group]
        part = [
            rows[index] if prompt is None else fitted(rows[index], len(prompt)) for index, prompt in zip(group, own, strict=True)
        ]
        prompts = [prompt for prompt in own if prompt is not None]
        batch = collate(part, pad_id=passes.pad_id, decoder_start_id=passes.decoder_start_id, soft_prompts=prompts)
        batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
        if found.weights is not None:
            batch["loss_weights"] = batch["loss_weights"] * found.weights[:, None]
        with evaluation_mode(model), autocast(model.device, passes.precision):
            total = WeightedLoss(model)(batch)
        yield total / share


def _groups(rows: Sequence[TrainingRow], own: Sequence[int], micro_batch_tokens: int | None) -> list[list[int]]:
    if micro_batch_tokens is None:
        return [list(own)] if own else []
    numbered = [replace(rows[index], task_id=str(index)) for index in own]  # a row may stand in a batch twice
    return [sorted(int(row.task_id) for row in group) for group in micro_batches(numbered, micro_batch_tokens)]
