"""The section `finetune`: which tokens carry loss, and how the model is trained on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from instune.config import Section
from instune.models import Precision
from instune.tuning.labels import LossTurns, loss_weights
from instune.tuning.loss import Normalization
from instune.tuning.optimizers import Optimizer, Schedule

Share = Annotated[float, Field(ge=0, lt=1)]
Mask = Annotated[str | dict[str, float], AfterValidator(loss_weights)]  # read as the weight of every segment


class Lora(Section):
    """Adapters."""

    rank: PositiveInt
    alpha: PositiveFloat
    dropout: Share


class Finetune(Section):
    """The whole section."""

    loss_mask: Mask  # it: output only; im: all but the template; all; released_im; or a weight for every segment
    loss_turns: LossTurns  # of a conversation: the messages that carry this loss
    normalize_by: Normalization  # the denominator of a step's loss
    method: Literal["full", "lora"]
    lora: Lora  # of method lora
    max_tokens: PositiveInt | None  # of all rows of an epoch, prompts included; null: each example of the selected tasks once
    epochs: PositiveInt  # passes over these rows, each in a seeded order of its own
    batch_size: PositiveInt  # rows per optimizer step
    micro_batch_tokens: PositiveInt  # tokens per pass, padding included, bounds memory
    packing: bool  # rows end to end without padding, each by itself; causal models
    gradient_checkpointing: bool  # layers are computed again in the backward pass: memory of one layer for a third more time
    optimizer: Optimizer  # adamw with its betas and epsilon, or adafactor at the rate below
    learning_rate: PositiveFloat  # peak, per step
    schedule: Schedule  # after the warm-up; linear: down to 0 at the end; constant
    warmup_share: Share  # of the steps
    weight_decay: NonNegativeFloat
    max_grad_norm: PositiveFloat
    neftune_alpha: NonNegativeFloat  # noise of +-alpha / sqrt(tokens x hidden size) on training rows' embeddings; 0: none
    kl_weight: NonNegativeFloat  # of KL(model || model at the start) at the tokens with loss, times their weight; 0: none
    validation_share: Share  # of the selected tasks, held out; 0: no validation
    validation_rows: PositiveInt  # rows of the held-out tasks together
    validate_every: PositiveInt  # optimizer steps
    checkpoint_every: PositiveInt  # optimizer steps
    precision: Precision
