"""Bilevel optimization of soft instructions: an outer Adam step on the hypergradient, then inner SGD steps of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from instune.bilevel.batches import Draws
from instune.bilevel.checkpoint import FoldState
from instune.bilevel.hypergradient import Product, hypergradient, products_by
from instune.bilevel.instructions import batch_loss
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.step_size import choose_step
from instune.bilevel.vectors import cosine, norm
from instune.errors import InputError

Log = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Schedule:
    """How many steps of which size, per fold."""

    outer_steps: int
    inner_steps: int  # after each outer step
    batch_size: int  # examples
    meta_batch_size: int  # examples
    inner_learning_rate: float
    outer_learning_rate: float
    checkpoint_every: int  # outer steps


@dataclass(frozen=True)
class Solve:
    """How the hypergradient is formed."""

    product: Product
    difference_step: float | Literal["auto"]  # of central differences
    terms: int
    gamma: float | Literal["auto"]


class Fold:
    """One meta split: instructions of `train` are learned so that a model trained with them does well on `test`.

    Args:
        model: a causal model, changed in place; every parameter that requires a gradient belongs to theta.
        initial: (n, soft_tokens, d) prompts of the tasks of `train`, in that order.
        soft, human: draw rows with a place for the soft instruction, and with the human instruction.
        train, test: meta-train and meta-test task ids.
        name: stands in the keys of the draws.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        initial: Tensor,
        *,
        soft: Draws,
        human: Draws,
        train: Sequence[str],
        test: Sequence[str],
        name: str,
        pad_id: int,
    ) -> None:
        self.model, self.soft, self.human, self.train, self.test, self.name = model, soft, human, train, test, name
        self.pad_id = pad_id
        self.theta = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.phi = initial.to(model.device).clone().requires_grad_()

    def inner_loss(self, size: int, *key: str | int) -> Callable[[], Tensor]:
        """L_train on one fixed batch of meta-train tasks with soft instructions."""
        rows = self.soft.batch(self.train, size, self.name, "inner", *key)
        place = {task_id: index for index, task_id in enumerate(self.train)}
        return lambda: batch_loss(
            self.model, rows, pad_id=self.pad_id, prompts={row.task_id: self.phi[place[row.task_id]] for row in rows}
        )

    def outer_loss(self, size: int, *key: str | int) -> Callable[[], Tensor]:
        """L_meta on one fixed batch of meta-test tasks with human instructions."""
        rows = self.human.batch(self.test, size, self.name, "outer", *key)
        return lambda: batch_loss(self.model, rows, pad_id=self.pad_id)

    def descend(self, schedule: Schedule, step: int) -> tuple[float, float]:
        """The inner SGD steps; returns loss and gradient norm of the last one."""
        for number in range(schedule.inner_steps):
            loss = self.inner_loss(schedule.batch_size, "descent", step, number)()
            gradients = torch.autograd.grad(loss, self.theta, materialize_grads=True)
            with torch.no_grad():
                torch._foreach_add_(self.theta, gradients, alpha=-schedule.inner_learning_rate)
        return loss.item(), norm(gradients)

    def outer_step(self, schedule: Schedule, solve: Solve, state: FoldState, adam: torch.optim.Adam) -> dict[str, float]:
        """One update of phi, then the model's inner steps; returns what happened."""
        adaptive = solve.gamma == "auto"
        solver = AdaptiveNeumann(solve.terms, state.gamma) if adaptive else partial(neumann, gamma=solve.gamma, terms=solve.terms)
        result = hypergradient(
            self.inner_loss(schedule.batch_size, "hypergradient", state.step),
            self.outer_loss(schedule.meta_batch_size, state.step),
            self.theta,
            [self.phi],
            products=products_by(solve.product, state.difference_step),
            solve=solver,
        )
        self.phi.grad = result.gradient[0]
        adam.step()
        inner_loss, inner_norm = self.descend(schedule, state.step)
        facts = {
            "outer_loss": result.outer_loss,
            "inner_loss": inner_loss,
            "inner_gradient_norm": inner_norm,
            "hypergradient_norm": norm(result.gradient),
            "last_term_over_first": result.solution.remaining,
            "gamma": result.solution.gamma,
        }
        if state.previous is not None:
            facts["cosine_to_last"] = cosine(result.gradient, [state.previous.to(self.phi.device)])
        state.gamma, state.previous = result.solution.gamma, result.gradient[0].detach().cpu()
        return facts

    def optimize(self, schedule: Schedule, solve: Solve, *, checkpoint: Path, log: Log) -> FoldState:
        """All outer steps, from the checkpoint where there is one.

        Args:
            log: called with number and facts of every outer step, those of an earlier, killed run included.

        Raises:
            InputError: a loss or gradient is not finite, or the series diverges.
        """
        adam = torch.optim.Adam([self.phi], lr=schedule.outer_learning_rate)
        state = self._resume(checkpoint, adam) if checkpoint.exists() else self._begin(schedule, solve)
        for step, facts in enumerate(state.history):
            log(step, facts)
        steps = range(state.step, schedule.outer_steps)
        progress = tqdm(steps, desc=self.name, unit="outer step", initial=state.step, total=schedule.outer_steps)
        for _ in progress:
            facts = self.outer_step(schedule, solve, state, adam)
            _check_finite(facts, self.name, state.step)
            state.history.append(facts)
            log(state.step, facts)
            state.step += 1
            progress.set_postfix(outer_loss=f"{facts['outer_loss']:.3f}")
            if state.step % schedule.checkpoint_every == 0 and state.step < schedule.outer_steps:
                self._keep(state, adam, checkpoint)
        state.prompts, state.theta, state.outer, state.dropped = self.phi.detach().cpu(), [], {}, self._dropped()
        state.save(checkpoint)
        return state

    def _begin(self, schedule: Schedule, solve: Solve) -> FoldState:
        state = FoldState(0, self.phi.detach().cpu())
        if solve.product == "double_backward":
            return state
        if solve.difference_step != "auto":
            state.difference_step = solve.difference_step
            return state
        inner, outer = self.inner_loss(schedule.batch_size, "step"), self.outer_loss(schedule.meta_batch_size, "step")
        state.difference_step, change = choose_step(inner, outer, self.theta, [self.phi])
        tqdm.write(f"{self.name}: difference step {state.difference_step:g}; three times that changes a product by {change:.2%}")
        return state

    def _dropped(self) -> dict[str, int]:
        return dict(self.soft.counts.dropped + self.human.counts.dropped)

    def _keep(self, state: FoldState, adam: torch.optim.Adam, checkpoint: Path) -> None:
        state.prompts, state.outer, state.dropped = self.phi.detach().cpu(), adam.state_dict(), self._dropped()
        state.theta = [tensor.detach().cpu() for tensor in self.theta]
        state.save(checkpoint)
        state.theta = []

    def _resume(self, checkpoint: Path, adam: torch.optim.Adam) -> FoldState:
        state = FoldState.load(checkpoint)
        with torch.no_grad():
            self.phi.copy_(state.prompts)
            for tensor, saved in zip(self.theta, state.theta, strict=False):  # none is kept of a finished fold
                tensor.copy_(saved)
        if state.outer:
            adam.load_state_dict(state.outer)
        state.theta = []
        self.soft.counts.dropped.update(state.dropped)
        return state


def _check_finite(facts: dict[str, float], fold: str, step: int) -> None:
    wrong = [name for name, value in facts.items() if not math.isfinite(value)]
    if wrong:
        raise InputError(
            f"optimize_instructions: {', '.join(wrong)} of outer step {step} in {fold} is not finite.\n"
            "  Lower optimize.embedder.inner_learning_rate or outer_learning_rate, and gamma where it is a number."
        )
