"""How the trainer runs in tests; each changes what it is about."""

from __future__ import annotations

from instune.tuning.optimizers import AdamW
from instune.tuning.train import Settings

SETTINGS = Settings(
    optimizer=AdamW(name="adamw", beta1=0.9, beta2=0.999, epsilon=1e-8),
    learning_rate=0.01,
    schedule="linear",
    warmup_share=0.0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    epochs=1,
    batch_size=4,
    micro_batch_tokens=16,
    validate_every=10,
    checkpoint_every=10,
    precision="float32",
    packing=False,
    gradient_checkpointing=False,
    neftune_alpha=0.0,
    kl_weight=0.0,
    seed=0,
)
