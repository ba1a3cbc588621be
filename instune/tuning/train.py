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
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from instune.checkpointing import recompute_activations
from instune.errors import InputError
from instune.models import Precision, autocast
from instune.prompts import stable_integer
from instune.tuning import checkpoint
from instune.tuning.batches import micro_batches
from instune.tuning.optimizers import Adafactor, AdamW, Schedule, learning_rate_at, new_optimizer
from instune.tuning.packing import packs
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import TrainingLoss

Collate = Callable[[Sequence[TrainingRow]], dict[str, Tensor]]
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
    packing: bool
    gradient_checkpointing: bool
    neftune_alpha: float
    kl_weight: float
    seed: int


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


def groups_of(rows: Sequence[TrainingRow], settings: Settings) -> list[list[TrainingRow]]:
    """The rows of a step or of the validation as micro-batches: packed, or padded with rows of like length together."""
    return (packs if settings.packing else micro_batches)(rows, settings.micro_batch_tokens)


def mean_nll(loss: TrainingLoss, rows: Sequence[TrainingRow], collate: Collate, *, settings: Settings) -> float:
    """Weighted NLL over all rows divided by the sum of their shares, whatever the grouping; model in evaluation mode."""
    device, total = loss.model.device, 0.0
    training = loss.model.training
    loss.model.eval()
    with torch.no_grad(), autocast(device, settings.precision):
        for group in groups_of(rows, settings):
            total += loss({name: tensor.to(device) for name, tensor in collate(group).items()})[0].item()
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
        self.accelerator = accelerator
        self.loss = TrainingLoss(model, neftune_alpha=settings.neftune_alpha, kl_weight=settings.kl_weight)
        if settings.gradient_checkpointing:
            recompute_activations(model)
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
        with torch.random.fork_rng():
            torch.manual_seed(stable_integer(settings.seed, "step", step, accelerator.process_index) % 2**63)
            sums = self._accumulate(step, rows)
        norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.max_grad_norm)
        loss, kl = accelerator.reduce(sums, "sum").tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._save(step)
            raise InputError(
                f"finetune: step {step + 1} of {self.steps}: loss {loss}, gradient norm {norm.item()}.\n"
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
        entry = {"step": step + 1, "train/loss": loss, "train/gradient_norm": norm.item(), "train/learning_rate": rate}
        return entry | ({"train/kl": kl} if settings.kl_weight else {})

    def _accumulate(self, step: int, rows: Sequence[TrainingRow]) -> Tensor:
        """Add up this process's gradients of the step; returns its (2,) parts of the step's loss and of its KL alone."""
        accelerator, settings, device = self.accelerator, self.settings, self.model.device
        mine = rows[accelerator.process_index :: accelerator.num_processes]
        # A process without a row of a short last step takes part with one that weighs nothing.
        groups = groups_of(mine or [replace(rows[0], loss_weights=[0.0] * len(rows[0].input_ids))], settings)
        share, sums = sum(row.share for row in rows), torch.zeros(2, device=device)
        if not share:
            first = rows[0]
            raise InputError(f"finetune: step {step + 1}: none of its rows has a token with loss; the first is {first.task_id}.")
        for number, group in enumerate(groups):
            batch = {name: tensor.to(device) for name, tensor in self.collate(group).items()}
            if settings.neftune_alpha:
                batch["noise_seeds"] = torch.tensor([self._noise_seed(step, row) for row in group])
            with accelerator.no_sync(self.prepared) if number + 1 < len(groups) else nullcontext():
                with autocast(device, settings.precision):
                    loss, kl = self.prepared(batch)
                accelerator.backward(loss * (accelerator.num_processes / share))  # gradients are averaged over processes
            sums += torch.stack([loss.detach(), kl]) / share
        return sums

    def _noise_seed(self, step: int, row: TrainingRow) -> int:
        return stable_integer(self.settings.seed, "noise", step, row.task_id, row.example_id) % 2**63

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
