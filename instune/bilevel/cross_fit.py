"""Learned instructions for every task: each from a fold in which the task was trained on and others were held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from instune.bilevel.batches import draws_of, split_folds
from instune.bilevel.checkpoint import FoldState
from instune.bilevel.describe import diversity
from instune.bilevel.instructions import Passes
from instune.bilevel.loop import Fold
from instune.bilevel.parameterizations.base import Material, Parameterization
from instune.bilevel.parameterizations.baselines import Baseline, baseline_settings
from instune.bilevel.parameterizations.extractor import text_embedding
from instune.bilevel.schedule import Schedule, Solve, Split
from instune.errors import InputError
from instune.records import Exemplar

EDGE = 3  # outer steps averaged at either end of a curve for the report
Make = Callable[[Material, Sequence[str], torch.device], Parameterization]


@dataclass(frozen=True)
class Learned:
    """What the artefact holds, what it looks like, how the folds went, and theta where the model is kept."""

    task_ids: tuple[str, ...]
    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    description: dict[str, Any]
    report: dict[str, Any]
    model: PreTrainedModel | None = None


class CrossFit:
    """The folds' common data.

    Args:
        material: the tasks to learn instructions for, with their examples.
        make: the parameterization of some tasks.
        new_model: a fresh copy of the base model, one per fold.
        validated: one fold's tasks are kept from both levels, for outer validation.
    """

    def __init__(
        self,
        material: Material,
        make: Make,
        new_model: Callable[[], PreTrainedModel],
        *,
        passes: Passes,
        folds: int,
        validated: bool,
    ) -> None:
        if validated and folds < 3:
            raise InputError(
                f"optimize.validation: needs 3 folds (meta-train, meta-test, validation), and optimize.folds is {folds}.\n"
                "  Raise optimize.folds, or set optimize.validation: null."
            )
        self.material, self.make, self.new_model, self.passes, self.validated = material, make, new_model, passes, validated
        self.folds = split_folds(list(material.tasks.values()), folds, seed=material.seed)

    def run(
        self, schedule: Schedule, solve: Solve, *, scratch: Path, log: Callable[[str, int, dict[str, float]], None]
    ) -> Learned:
        """Run the folds; a task's own parameters come from the fold after the one that held it out.

        Parameters that serve every task are learned in one fold, and only then is there one model to keep.

        Args:
            scratch: folder of the checkpoints, one file per fold.
            log: called with fold, outer step and facts.
        """
        final = self.make(self.material, sorted(self.material.tasks), torch.device("cpu"))
        values, report, dropped = final.copy(), [], Counter()
        for number in range(len(self.folds) if final.per_task else 1):
            name, split = f"fold{number}", self._split(number)
            steps = schedule if number == 0 else replace(schedule, checked_batches=0)  # once is enough to know
            fold = self._fold(name, split)
            state = fold.optimize(steps, solve, checkpoint=scratch / f"{name}.pt", log=partial(log, name))
            if final.per_task:
                for task_id in self.folds[number - 1]:
                    _copy_task(values, final.place[task_id], state.phi, split.train.index(task_id))
            else:
                values = state.phi
            dropped.update(state.dropped)
            report.append(_fold_report(split, state))
        final.load(values)
        compared = compare(self.material, final.task_ids, final.instruction_embeddings())
        description = {"diversity": compared} | final.description()
        facts = {"folds": report, "diversity": compared, "dropped": dict(dropped)}
        kept = fold.model if schedule.keep_model else None
        return Learned(final.task_ids, final.tensors(), final.settings(), description, facts, kept)

    def _split(self, number: int) -> Split:
        test = self.folds[number]
        validation = self.folds[(number + 1) % len(self.folds)] if self.validated else []
        return Split(sorted(set(self.material.tasks) - set(test) - set(validation)), test, validation)

    def _fold(self, name: str, split: Split) -> Fold:
        model = self.new_model()
        learnable = self.make(self.material, split.train, model.device)
        inner, human = draws_of(self.material, learnable.show), draws_of(self.material)
        return Fold(model, learnable, inner=inner, human=human, split=split, passes=self.passes, name=name)


def given(material: Material, choose: Baseline, *, exemplars: int, instruction: bool, **candidates: int) -> Learned:
    """Exemplars that are not learned, in the form of what is."""
    settings = baseline_settings(material, choose, exemplars=exemplars, instruction=instruction, **candidates)
    ids = tuple(sorted(material.tasks))
    first = {
        task_id: [Exemplar(one["input"], one["output"]) for one in ranked[:exemplars]]
        for task_id, ranked in settings["candidates"].items()
    }
    shown = [text_embedding(material, task_id, first[task_id], instruction=instruction) for task_id in ids]
    compared = compare(material, ids, torch.stack(shown))
    return Learned(ids, {}, settings, {"diversity": compared}, {"folds": [], "diversity": compared, "dropped": {}})


def compare(material: Material, task_ids: Sequence[str], embeddings: Tensor) -> dict[str, Any]:
    """Diversity of the definitions and of what stands in their place, (n_task, d); nothing has none."""
    human = [material.mean_embedding(material.tasks[task_id].definition) for task_id in task_ids]
    compared = {"human": diversity(torch.stack(human))}
    return compared | {"learned": diversity(embeddings)} if embeddings.any() else compared


def _copy_task(values: Sequence[Tensor], to: int, phi: Sequence[Tensor], place: int) -> None:
    for value, tensor in zip(values, phi, strict=True):
        value[to] = tensor[place]


def _fold_report(split: Split, state: FoldState) -> dict[str, Any]:
    report = {"meta_train": list(split.train), "meta_test": list(split.test)} | _ends(state.history)
    if state.agreement:
        report["agreement"] = state.agreement
    if state.best_loss is None:
        return report
    losses = [facts["validation_loss"] for facts in state.history if "validation_loss" in facts]
    kept = {"first": losses[0], "best": state.best_loss, "last": losses[-1], "best_step": state.best_step, "steps": state.step}
    return report | {"validation_tasks": list(split.validation), "validation": kept}


def _ends(history: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over the first and the last outer steps of what every one of them reported."""
    ends = {"first": history[:EDGE], "last": history[-EDGE:]}
    names = [name for name in history[-1] if name in history[0] and name != "validation_loss"]
    return {end: {name: sum(row[name] for row in rows) / len(rows) for name in names} for end, rows in ends.items()}
