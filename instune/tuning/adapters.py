"""LoRA adapters: added before training, merged into the weights after it."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel


def add_lora(model: PreTrainedModel, *, rank: int, alpha: float, dropout: float, seed: int) -> PeftModel:
    """Adapters on every linear layer but the output embeddings (arXiv 2106.09685), drawn from `seed`; the rest is frozen."""
    task_type = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type=task_type)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, settings)


def merge_lora(model: PeftModel) -> PreTrainedModel:
    """The plain model with the adapters added to its weights."""
    return model.merge_and_unload()
