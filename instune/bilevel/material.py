"""What learned instructions are made from and applied with, read from a base model and a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from instune.bilevel.parameterizations.base import Material
from instune.models import load_model
from instune.prompts import Prompt, load_template
from instune.records import Example, Task


def base_material(
    model: Path,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Task],
    examples: Mapping[str, Sequence[Example]],
    prompt: Prompt,
    seed: int,
    *,
    encoded: bool,
    device: torch.device | None = None,
) -> Material:
    """Tasks and examples beside the base model's embedding table, from a copy of the model that no training moves.

    Args:
        model: the base model's folder.
        examples: by task.
        encoded: whether instructions are converted from the base model's hidden states, so that it is kept.
        device: where it is kept; `models.pick_device()` if None.
    """
    net = load_model(model, device=device)
    table = net.get_input_embeddings().weight.detach().float().cpu()  # (V, d)
    template = load_template(prompt.template, tokenizer, seq2seq=net.config.is_encoder_decoder)
    return Material(tasks, examples, tokenizer, table, template, prompt, seed, encoder=net if encoded else None)
