"""Learnable instructions fed to the model as input embeddings (the instruction embedder, direct parameterization)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.records import Task
from instune.tuning.batches import collate
from instune.tuning.rows import TrainingRow
from instune.tuning.train import WeightedLoss

Initial = Literal["definition", "random"]


def initial_prompts(
    tasks: Sequence[Task], tokenizer: PreTrainedTokenizerBase, table: Tensor, *, soft_tokens: int, initial: Initial, seed: int
) -> Tensor:
    """Where the optimization starts, (n_task, soft_tokens, d) on the CPU.

    Args:
        table: (V, d) the model's input embeddings.
        initial: `definition`: the embeddings of the definition's first tokens, repeated where it is shorter; `random`: normal
            with the table's mean and standard deviation in every dimension.
    """
    table = table.detach().float().cpu()
    if initial == "random":
        noise = torch.randn(len(tasks), soft_tokens, table.shape[1], generator=torch.Generator().manual_seed(seed))
        return table.mean(0) + noise * table.std(0)
    rows = []
    for task in tasks:
        ids = tokenizer(task.definition, add_special_tokens=False)["input_ids"]
        repeats = -(-soft_tokens // len(ids))
        rows.append(table[torch.tensor((ids * repeats)[:soft_tokens])])
    return torch.stack(rows)


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


def batch_loss(
    model: PreTrainedModel, rows: Sequence[TrainingRow], *, pad_id: int, prompts: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Weighted mean NLL in nats per token, dropout off: the same function at every call.

    Args:
        rows: of a causal model.
        prompts: soft instruction (n, d) by task id, for rows that have a place for one.
    """
    batch = collate(rows, pad_id=pad_id, soft_prompts=prompts)
    with evaluation_mode(model):
        total = WeightedLoss(model)({name: tensor.to(model.device) for name, tensor in batch.items()})
    return total / sum(row.share for row in rows)
