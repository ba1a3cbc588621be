"""Bilevel optimization of instructions: an outer Adam step on the hypergradient, then inner steps of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from instune.bilevel.agreement import Batches, measure_agreement
from instune.bilevel.batches import Draws
from instune.bilevel.checkpoint import FoldState
from instune.bilevel.gradients import Loss, gradient
from instune.bilevel.hypergradient import products_by
from instune.bilevel.instructions import Passes, batch_parts
from instune.bilevel.optimizers import Optimizers
from instune.bilevel.parameterizations.base import Parameterization, Terms
from instune.bilevel.ranks import is_first, mean_over_ranks
from instune.bilevel.schedule import Schedule, Solve, Split, Validation
from instune.bilevel.solvers.identity import adam_slopes
from instune.bilevel.solvers.named import SOLVERS, SolverSettings
from instune.bilevel.step_size import choose_step
from instune.bilevel.vectors import cosine, norm
from instune.errors import InputError
from instune.prompts import stable_integer

Log = Callable[[int, dict[str, float]], None]


class Fold:
    """One meta split: instructions of `train` are learned so that a model trained with them does well on `test`.

    Args:
        model: changed in place; every parameter that requires a gradient belongs to theta.
        learnable: phi and how it enters the rows of `split.train`.
        inner, human: draw rows as `learnable` shows them, and with the human instruction.
        name: stands in the keys of the draws.

    Several processes take the same steps, each on its part of every batch; the first writes checkpoints, which all go on from.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        learnable: Parameterization,
        *,
        inner: Draws,
        human: Draws,
        split: Split,
        passes: Passes,
        name: str,
    ) -> None:
        self.model, self.learnable, self.inner, self.human = model, learnable, inner, human
        self.split, self.passes, self.name = split, passes, name
        self.theta = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.phi = learnable.phi

    def inner_loss(self, size: int, *key: str | int, passes: Passes | None = None) -> Loss:
        """L_train on one fixed batch of meta-train tasks with learnable instructions and, where there is noise, fixed noise."""
        rows = self.inner.batch(self.split.train, size, self.name, "inner", *key)
        seed = stable_integer(self.inner.seed, "noise", self.name, *key)

        def terms(part: Sequence[int]) -> Terms:
            return self.learnable.terms(rows, part, self.model.get_input_embeddings(), seed=seed)

        return lambda: batch_parts(self.model, rows, passes or self.passes, terms)

    def outer_loss(self, size: int, *key: str | int, passes: Passes | None = None) -> Loss:
        """L_meta on one fixed batch of meta-test tasks with human instructions."""
        rows = self.human.batch(self.split.test, size, self.name, "outer", *key)
        return lambda: batch_parts(self.model, rows, passes or self.passes)

    def validation_loss(self, rows: int) -> float:
        """The same on a fixed batch of the third part."""
        drawn = self.human.batch(self.split.validation, rows, self.name, "validation")
        with torch.no_grad():
            own = sum(part.item() for part in batch_parts(self.model, drawn, self.passes))
        (mean,) = mean_over_ranks([torch.tensor(own, dtype=torch.float64, device=self.model.device)])
        return mean.item()

    def descend(self, schedule: Schedule, step: int, inner: torch.optim.Optimizer) -> tuple[float, float]:
        """The inner steps; returns loss and gradient norm of the last one."""
        for number in range(schedule.inner_steps):
            loss, gradients = gradient(self.inner_loss(schedule.batch_size, "descent", step, number), self.theta)
            for tensor, value in zip(self.theta, gradients, strict=True):
                tensor.grad = value
            inner.step()
            inner.zero_grad()
        return loss, norm(gradients)

    def outer_step(self, schedule: Schedule, solve: Solve, state: FoldState, optimizers: Optimizers) -> dict[str, float]:
        """One update of phi, then the model's inner steps; returns what happened."""
        inner_loss = self.inner_loss(schedule.batch_size, "hypergradient", state.step)
        settings = _settings(solve, state)
        if solve.solver == "identity" and schedule.inner_optimizer == "adam":
            slopes = adam_slopes(optimizers.inner, self.theta, gradient(inner_loss, self.theta)[1])
            settings = replace(settings, slopes=slopes)
        result = SOLVERS[solve.solver](settings)(
            inner_loss,
            self.outer_loss(schedule.meta_batch_size, state.step),
            self.theta,
            self.phi,
        )
        for tensor, value in zip(self.phi, result.gradient, strict=True):
            tensor.grad = value
        optimizers.outer.step()
        descent_loss, inner_norm = self.descend(schedule, state.step, optimizers.inner)
        facts = {
            "outer_loss": result.outer_loss,
            "inner_loss": descent_loss,
            "inner_gradient_norm": inner_norm,
            "hypergradient_norm": norm(result.gradient),
            "last_term_over_first": result.solution.remaining,
        }
        if result.solution.gamma is not None:
            facts["gamma"] = state.gamma = result.solution.gamma
        if state.previous:
            facts["cosine_to_last"] = cosine(result.gradient, [tensor.to(self.model.device) for tensor in state.previous])
        state.previous = [tensor.detach().cpu() for tensor in result.gradient]
        return facts

    def optimize(self, schedule: Schedule, solve: Solve, *, checkpoint: Path, log: Log) -> FoldState:
        """All outer steps, from the checkpoint where there is one.

        Args:
            log: called with number and facts of every outer step, those of an earlier, killed run included.

        Raises:
            InputError: a loss or gradient is not finite, or the series diverges.
        """
        optimizers = Optimizers(self.phi, self.theta, schedule)
        state = self._resume(checkpoint, optimizers) if checkpoint.exists() else self._begin(schedule, solve)
        for step, facts in enumerate(state.history):
            log(step, facts)
        for _ in self._steps(state, schedule):
            facts = self.outer_step(schedule, solve, state, optimizers)
            _check_finite(facts, self.name, state.step)
            state.step += 1
            state.done = state.step == schedule.outer_steps
            if schedule.validation is not None:
                facts |= self._validate(schedule.validation, state)
            state.history.append(facts)
            log(state.step - 1, facts)
            if state.step % schedule.checkpoint_every == 0 and not state.done:
                self._keep(state, optimizers, checkpoint)
        state.phi = state.best if state.best_loss is not None else self.learnable.copy()
        state.outer, state.inner, state.dropped = {}, {}, self._dropped()
        state.theta = [tensor.detach().cpu() for tensor in self.theta] if schedule.keep_model else []
        state.save(checkpoint)
        state.theta = []
        return state

    def _steps(self, state: FoldState, schedule: Schedule) -> Iterator[None]:
        keywords = {"desc": self.name, "unit": "outer step", "initial": state.step, "total": schedule.outer_steps}
        with tqdm(**keywords, disable=not is_first()) as progress:
            while not state.done:
                yield
                progress.update()
                progress.set_postfix(outer_loss=f"{state.history[-1]['outer_loss']:.3f}")

    def _validate(self, validation: Validation, state: FoldState) -> dict[str, float]:
        """Every few steps, and after the last: keep phi where the loss is the lowest so far, stop where that is long ago."""
        if state.step % validation.every and not state.done:
            return {}
        loss = self.validation_loss(validation.rows)
        _check_finite({"validation_loss": loss}, self.name, state.step - 1)
        if state.best_loss is None or loss < state.best_loss:
            state.best, state.best_step, state.best_loss = self.learnable.copy(), state.step, loss
        state.done = state.done or state.step - state.best_step >= validation.every * validation.patience
        return {"validation_loss": loss}

    def _begin(self, schedule: Schedule, solve: Solve) -> FoldState:
        state = FoldState(0, self.learnable.copy())
        if solve.product == "central_difference":
            self._set_step(schedule, solve, state)
        if schedule.checked_batches and (solve.product, self.passes.precision) != ("double_backward", "float32"):
            self._check(schedule, solve, state)
        return state

    def _set_step(self, schedule: Schedule, solve: Solve, state: FoldState) -> None:
        if solve.difference_step != "auto":
            state.difference_step = solve.difference_step
            return
        inner, outer = self.inner_loss(schedule.batch_size, "step"), self.outer_loss(schedule.meta_batch_size, "step")
        state.difference_step, change = choose_step(inner, outer, self.theta, self.phi)
        self._say(f"difference step {state.difference_step:g}; three times that changes a product by {change:.2%}")

    def _check(self, schedule: Schedule, solve: Solve, state: FoldState) -> None:
        """Say how far the hypergradients of some batches are from double backward in float32, beside the noise of batches."""
        exact, drawn = replace(self.passes, precision="float32"), []
        for number in range(schedule.checked_batches):
            inner, outer = (schedule.batch_size, "check", number), (schedule.meta_batch_size, "check", number)
            losses = self.inner_loss(*inner), self.outer_loss(*outer)
            drawn.append(Batches(*losses, self.inner_loss(*inner, passes=exact), self.outer_loss(*outer, passes=exact)))
        found = measure_agreement(drawn, self.theta, self.phi, solver=solve.solver, settings=_settings(solve, state))
        self._say(str(found))
        state.agreement = {"cosine": min(found.cosines), "norm_ratio": mean(found.ratios)}
        if found.between:
            state.agreement["cosine_of_two_batches"] = mean(found.between)

    def _say(self, text: str) -> None:
        if is_first():
            tqdm.write(f"{self.name}: {text}")

    def _dropped(self) -> dict[str, int]:
        return dict(self.inner.counts.dropped + self.human.counts.dropped)

    def _keep(self, state: FoldState, optimizers: Optimizers, checkpoint: Path) -> None:
        state.phi, state.dropped = self.learnable.copy(), self._dropped()
        state.outer, state.inner = optimizers.outer.state_dict(), optimizers.inner.state_dict()
        state.theta = [tensor.detach().cpu() for tensor in self.theta]
        state.save(checkpoint)
        state.theta = []

    def _resume(self, checkpoint: Path, optimizers: Optimizers) -> FoldState:
        state = FoldState.load(checkpoint)
        self.learnable.load(state.phi)
        with torch.no_grad():
            for tensor, saved in zip(self.theta, state.theta, strict=False):  # of a finished fold none may be kept
                tensor.copy_(saved)
        if state.outer:
            optimizers.outer.load_state_dict(state.outer)
            optimizers.inner.load_state_dict(state.inner)
        state.theta = []
        self.inner.counts.dropped.update(state.dropped)
        return state


def _settings(solve: Solve, state: FoldState) -> SolverSettings:
    products = products_by(solve.product, state.difference_step)
    gamma = None if solve.gamma == "auto" else solve.gamma
    return SolverSettings(products, solve.terms, gamma=gamma, last_gamma=state.gamma, damping=solve.damping)


def _check_finite(facts: dict[str, float], fold: str, step: int) -> None:
    wrong = [name for name, value in facts.items() if not math.isfinite(value)]
    if wrong:
        raise InputError(
            f"optimize_instructions: {', '.join(wrong)} of outer step {step} in {fold} is not finite.\n"
            "  Lower optimize.inner_learning_rate or outer_learning_rate, and gamma where it is a number."
        )
