"""Attention over packed rows, each by itself: the cost of their squared lengths, not of the squared pack.

Transformers' own way, positions that start anew, is exact as well in eager and sdpa attention, by a mask of the whole pack's
square: on a pack of T tokens that is T^2 work and memory, whatever the rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from instune.errors import InputError

NAME = "packed_rows"


def _window(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """(1, 1, L, L) true where a token sees another, or None where the window is no less than the row."""
    if window is None or length <= window:
        return None
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return ((distance >= 0) & (distance < window))[None, None]


def _flash(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, scale: float | None, window: int | None) -> Tensor:
    longest = int(starts.diff().max())
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))  # (T, heads, head size)
    seen = (-1 if window is None else window - 1, 0)
    gqa = query.shape[1] != key.shape[1]
    return varlen_attn(query, key, value, starts, starts, longest, longest, scale=scale, window_size=seen, enable_gqa=gqa)[None]


def row_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_starts: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Causal attention within every row; torch's flash attention on a GPU in half precision, else its fused one row by row.

    Args:
        query: (1, heads, T, head size); keys and values have as many heads or fewer.
        attention_mask: of a padded batch, which then has no `row_starts`.
        row_starts: (rows + 1,) int32, T at the end; None: one row.

    Returns:
        (1, T, heads, head size), and no attention weights.
    """
    settings |= {"dropout": dropout, "scaling": scaling}
    if attention_mask is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    if row_starts is None:
        mask = _window(query.shape[2], sliding_window, query.device)
        return sdpa_attention_forward(module, query, key, value, mask, **settings)
    if query.device.type == "cuda" and query.dtype != torch.float32 and not dropout:
        return _flash(query, key, value, row_starts, scaling, sliding_window), None
    lengths = row_starts.diff().tolist()
    rows = zip(lengths, *(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    masked = ((q, k, v, _window(length, sliding_window, query.device)) for length, q, k, v in rows)
    return torch.cat([sdpa_attention_forward(module, *row, **settings)[0] for row in masked], dim=1), None


def _mask(*args: Any, attention_mask: Tensor | None = None, **settings: Any) -> Tensor | None:
    return None if attention_mask is None else sdpa_mask(*args, attention_mask=attention_mask, **settings)


AttentionInterface.register(NAME, row_attention)
AttentionMaskInterface.register(NAME, _mask)


@torch.no_grad()
def attend_by_row(model: PreTrainedModel) -> None:
    """Let the model attend within the rows of a pack only, and see that it does.

    Raises:
        InputError: an encoder-decoder model, one whose logits are NaN, or one that mixes the rows of a pack: its layers are
            recurrent, say, or leave positions or attention to themselves.
    """
    way_out = "Set finetune.packing: false, or choose another base model."
    if model.config.is_encoder_decoder:
        raise InputError(
            f"finetune.packing: true needs a causal model: rows are laid end to end, and those of an encoder-decoder model are "
            f"pairs of source and target. {way_out}"
        )
    kind = type(model).__name__
    ids = torch.arange(6, device=model.device)[None] % model.config.get_text_config().vocab_size
    alone = torch.cat([model(ids[:, :2], use_cache=False).logits, model(ids[:, 2:], use_cache=False).logits], 1)  # (1, 6, V)
    if alone.isnan().any():
        raise InputError("base_model: the model's logits are NaN. Look at its config.json and weights, or choose another.")
    try:
        model.set_attn_implementation(NAME)
        starts = torch.tensor([0, 2, 6], dtype=torch.int32, device=model.device)
        positions = torch.tensor([[0, 1, 0, 1, 2, 3]], device=model.device)
        packed = model(ids, position_ids=positions, row_starts=starts, use_cache=False).logits
    except (TypeError, ValueError) as error:
        raise InputError(f"finetune.packing: {kind} takes no packed rows ({error}). {way_out}") from None
    if not torch.allclose(packed, alone, rtol=1e-3, atol=1e-3 * alone.abs().max().item()):
        raise InputError(f"finetune.packing: {kind} does not keep the rows of a pack apart. {way_out}")
