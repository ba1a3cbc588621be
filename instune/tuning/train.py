"""The training loop: exact step losses over micro-batches and processes, validation, checkpoints, resume."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from instune.errors import InputError
from instune.models import Precision, autocast
from instune.prompts import stable_integer
from instune.tuning import checkpoint
from instune.tuning.batches import micro_batches
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.loss import head_at, nll_of_labels
from instune.tuning.optimizers import Adafactor, AdamW, Schedule, learning_rate_at, new_optimizer
from instune.tuning.rows import TrainingRow

Collate = Callable[[Sequence[TrainingRow]], dict[str, torch.Tensor]]
Entry = dict[str, float]


@dataclass(frozen=True)
class Settings:
    """How the optimizer runs; units stand in the stage's section of the same names."""

    optimizer: AdamW | Adafactor
    learning_rate: float
    schedule: Schedule
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    epochs: int
    batch_size: int
    micro_batch_tokens: int
    validate_every: int
    checkpoint_every: int
    precision: Precision
    seed: int


class WeightedLoss(nn.Module):
    """Sum of weight x NLL over one micro-batch, in a module of its own so that data parallelism sees each pass."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """A scalar in float32 from `collate`'s tensors."""
        keep = batch["labels"] != IGNORE_INDEX  # (B, T)
        inputs = {"attention_mask": batch["attention_mask"], "use_cache": False}
        if "soft_places" in batch:
            embeddings = self.model.get_input_embeddings()(batch["input_ids"])  # (B, S, d)
            soft = batch["soft_embeddings"].to(embeddings.dtype)
            inputs["inputs_embeds"] = embeddings.masked_scatter(batch["soft_places"][..., None], soft)
        else:
            inputs["input_ids"] = batch["input_ids"]
        if "decoder_input_ids" in batch:
            inputs["decoder_input_ids"] = batch["decoder_input_ids"]
        with head_at(self.model, keep):
            logits = self.model(**inputs).logits  # (N, V)
        return (batch["loss_weights"][keep] * nll_of_labels(logits, batch["labels"][keep])).sum()


def step_rows(rows: Sequence[TrainingRow], *, batch_size: int, epochs: int, seed: int) -> Iterator[list[TrainingRow]]:
    """The rows of every optimizer step: in the order given in the first epoch, in a seeded one of its own in each later one.

    A step never spans two epochs, so an epoch's last step may be short.
    """
    for epoch in range(epochs):
        order = list(rows)
        if epoch:
            random.Random(stable_integer(seed, "epoch", epoch)).shuffle(order)
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]


def mean_nll(loss: WeightedLoss, rows: Sequence[TrainingRow], collate: Collate, *, settings: Settings) -> float:
    """Weighted loss over all rows divided by the sum of their shares, whatever the grouping; model in evaluation mode."""
    device, total = loss.model.device, 0.0
    training = loss.model.training
    loss.model.eval()
    with torch.no_grad(), autocast(device, settings.precision):
        for group in micro_batches(rows, settings.micro_batch_tokens):
            total += loss({name: tensor.to(device) for name, tensor in collate(group).items()}).item()
    loss.model.train(training)
    return total / sum(row.share for row in rows)


class Trainer:
    """Trains a model on rows for some epochs, `batch_size` rows a step."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Sequence[TrainingRow],
        collate: Collate,
        *,
        accelerator: Accelerator,
        settings: Settings,
        validation: Sequence[TrainingRow],
        folder: Path,
        log: Callable[[Entry], Any],
    ) -> None:
        """Prepare model and optimizer on every process.

        Args:
            accelerator: one process, or several with data parallelism, each of which takes its share of every step's rows.
            folder: where the checkpoint lies; one found there is resumed.
            log: called once with every entry of the history, in order, also for those of a resumed run.
        """
        self.model, self.rows, self.collate, self.settings = model, rows, collate, settings
        self.validation, self.folder, self.log = validation, folder, log
        self.accelerator, self.loss = accelerator, WeightedLoss(model)
        optimizer = new_optimizer(
            model, settings.optimizer, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.prepared, self.optimizer = self.accelerator.prepare(self.loss, optimizer)
        self.steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
        self.history: list[Entry] = []

    def run(self) -> list[Entry]:
        """Train to the end; returns the history: step 0 before training, one entry a step, `validation/nll` where measured.

        Raises:
            InputError: loss or gradient is not finite; the state before that step is kept as checkpoint.
        """
        start, settings = self._resume(), self.settings
        self.model.train()
        batches = step_rows(self.rows, batch_size=settings.batch_size, epochs=settings.epochs, seed=settings.seed)
        done = sum(len(row.input_ids) for rows in islice(batches, start) for row in rows)
        total = settings.epochs * sum(len(row.input_ids) for row in self.rows)
        quiet = not self.accelerator.is_main_process
        with tqdm(total=total, initial=done, desc="fine-tuning", unit="tok", disable=quiet) as bar:
            for step, rows in enumerate(batches, start):
                entry = self._step(step, rows)
                if (step + 1) % settings.validate_every == 0 or step + 1 == self.steps:
                    entry |= self._validate()
                self._record(entry)
                bar.update(sum(len(row.input_ids) for row in rows))
                bar.set_postfix(loss=f"{entry['train/loss']:.3f}")
                if (step + 1) % settings.checkpoint_every == 0 and step + 1 < self.steps:
                    self._save(step + 1)
        self.model.eval()
        return self.history

    def _step(self, step: int, rows: Sequence[TrainingRow]) -> Entry:
        accelerator, settings = self.accelerator, self.settings
        mine = rows[accelerator.process_index :: accelerator.num_processes]
        # A process without a row of a short last step takes part with one that weighs nothing.
        groups = micro_batches(
            mine or [replace(rows[0], loss_weights=[0.0] * len(rows[0].input_ids))], settings.micro_batch_tokens
        )
        share, total = sum(row.share for row in rows), torch.zeros((), device=self.model.device)
        with torch.random.fork_rng():
            torch.manual_seed(stable_integer(settings.seed, "step", step, accelerator.process_index) % 2**63)
            for number, group in enumerate(groups):
                batch = {name: tensor.to(self.model.device) for name, tensor in self.collate(group).items()}
                wait = number + 1 < len(groups)
                with accelerator.no_sync(self.prepared) if wait else nullcontext():
                    with autocast(self.model.device, settings.precision):
                        loss = self.prepared(batch) / share
                    accelerator.backward(loss * accelerator.num_processes)  # gradients are averaged over processes
                total += loss.detach()
        norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.max_grad_norm)
        value = accelerator.reduce(total, "sum").item()
        if not (math.isfinite(value) and math.isfinite(norm)):
            self._save(step)
            raise InputError(
                f"finetune: step {step + 1} of {self.steps}: loss {value}, gradient norm {norm.item()}.\n"
                f"  Lower finetune.learning_rate, or set finetune.precision: float32.\n"
                f"  The state before this step is kept in {self.folder}."
            )
        rate = learning_rate_at(
            step, self.steps, peak=settings.learning_rate, warmup_share=settings.warmup_share, schedule=settings.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"step": step + 1, "train/loss": value, "train/gradient_norm": norm.item(), "train/learning_rate": rate}

    def _validate(self) -> Entry:
        if not self.validation:
            return {}
        return {"validation/nll": mean_nll(self.loss, self.validation, self.collate, settings=self.settings)}

    def _record(self, entry: Entry) -> None:
        self.history.append(entry)
        self.log(entry)

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            checkpoint.save(self.folder, self.model, self.optimizer, step=step, history=self.history)

    def _resume(self) -> int:
        state = checkpoint.load(self.folder, self.model, self.optimizer)
        if state is None:
            self._record({"step": 0} | self._validate())
            return 0
        step, history = state
        for entry in history:
            self._record(entry)
        return step
