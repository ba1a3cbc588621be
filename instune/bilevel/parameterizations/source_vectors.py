"""Vectors of a text's tokens, before a learned map: from the embedding table, or in context by the frozen base model.

The base model as it was before any training is its own encoder (as in the InstOpt code, whose encoder is a T5 beside a T5): it
needs no other tokenizer, dimension or file, and whoever has the base model can convert the instruction of any task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from instune.bilevel.parameterizations.base import Material

ConvertBy = Literal["table", "encoder"]
Vectors = Callable[[Sequence[int]], Tensor]  # S token ids -> (S, d) on the CPU, no gradient

KEPT = 1024  # texts whose vectors are kept: the definitions of most selections, the instances of a batch through its passes
RIDGE = 1e-3  # of the mean variance of a coordinate


def source_vectors(material: Material, convert_by: ConvertBy) -> Vectors:
    """The vectors by name; of `encoder`, the last hidden states, scaled to the mean length of the table's rows."""
    if convert_by == "table":
        return lambda ids: material.table[torch.tensor(ids, dtype=torch.long)]
    length = material.table.norm(dim=-1).mean().item()
    kept = lru_cache(KEPT)(partial(_in_context, material.encoder, length))
    return lambda ids: kept(tuple(ids))


def _in_context(model: PreTrainedModel, length: float, ids: tuple[int, ...]) -> Tensor:
    inputs = torch.tensor([ids], dtype=torch.long, device=model.device)
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            hidden = model.get_encoder()(input_ids=inputs).last_hidden_state[0]
        else:
            hidden = model.base_model(input_ids=inputs, use_cache=False).last_hidden_state[0]
    return (F.normalize(hidden.float(), dim=-1) * length).cpu()


def initial_map(material: Material, convert_by: ConvertBy) -> list[Tensor]:
    """(d, d) weight and (d,) bias under which a text's vectors are its token embeddings, exactly or as nearly as can be.

    Of `table` the identity; of `encoder` the ridge regression from the vectors of all definitions to their embeddings.
    """
    width = material.table.shape[1]
    if convert_by == "table":
        return [torch.eye(width), torch.zeros(width)]
    texts = (material.ids(material.tasks[task_id].definition) for task_id in sorted(material.tasks))
    return _ridge(source_vectors(material, convert_by), material.table, [ids for ids in texts if ids])


def _ridge(vectors: Vectors, table: Tensor, texts: Iterable[Sequence[int]]) -> list[Tensor]:
    source = torch.cat([vectors(ids) for ids in texts]).double()  # (n, d)
    wanted = torch.cat([table[torch.tensor(ids)] for ids in texts]).double()
    source_mean, wanted_mean = source.mean(0), wanted.mean(0)
    source, wanted = source - source_mean, wanted - wanted_mean
    gram = source.T @ source
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, source.T @ wanted).T  # (d, d)
    return [weight.float(), (wanted_mean - weight @ source_mean).float()]
