"""An artefact as the fine-tuning uses it: what each row shows, its embeddings, and how often each task is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from instune.bilevel.artefact import Artefact
from instune.bilevel.parameterizations.base import Material
from instune.bilevel.parameterizations.candidates import Candidate
from instune.bilevel.parameterizations.source_text import source_ids
from instune.bilevel.parameterizations.source_vectors import source_vectors
from instune.errors import InputError
from instune.prompts import stable_integer
from instune.records import Example, Exemplar, Task
from instune.tuning.rows import Show, Shown, TrainingRow, show_human


def _no_soft(row: TrainingRow) -> Tensor:
    raise LookupError(f"row of task {row.task_id}: nothing stands in the place of its instruction")


@dataclass(frozen=True)
class Applied:
    """What an artefact does to training rows.

    Attributes:
        show: what a row shows for instruction and worked examples.
        soft: (n, d) embeddings of a row's soft instruction.
        weights: how often a task is drawn, relative to others of weight 1; None: all tasks in turn.
    """

    show: Show = show_human
    soft: Callable[[TrainingRow], Tensor] = _no_soft
    weights: Mapping[str, float] | None = None


def applied(artefact: Artefact, material: Callable[[], Material]) -> Applied:
    """The artefact's effect, by its kind.

    Args:
        material: gives tasks, examples and the base model's embedding table, a copy; not called for human instructions.
    """
    if artefact.kind == "human":
        return Applied()
    kinds = {
        "embedder_direct": _soft_prompts,
        "embedder_conversion": _converted,
        "extractor_direct": _exemplars,
        "extractor_conversion": _exemplars,
        "reweight": _weights,
    }
    return kinds[artefact.kind](artefact, material())


def _check_width(name: str, shape: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(shape) != tuple(wanted):
        raise InputError(
            f"instructions: {name} has shape {tuple(shape)}, and the base model's embeddings need {tuple(wanted)}.\n"
            "  Run the stage optimize_instructions again."
        )


def _soft_prompts(artefact: Artefact, material: Material) -> Applied:
    _check_width("soft_prompts", artefact.tensors["soft_prompts"].shape[2:], material.table.shape[1:])
    prompts = dict(zip(artefact.task_ids, artefact.tensors["soft_prompts"], strict=True))  # task -> (n, d)

    def show(task: Task, example: Example) -> Shown:
        return Shown(soft_tokens=len(prompts[task.task_id])) if task.task_id in prompts else Shown()

    return Applied(show, lambda row: prompts[row.task_id])


def _converted(artefact: Artefact, material: Material) -> Applied:
    settings, changed = dict(artefact.settings), set(artefact.task_ids)
    vectors = source_vectors(material, settings.pop("convert_by"))
    width = material.table.shape[1]
    _check_width("weight", artefact.tensors["weight"].shape, (width, vectors([0]).shape[1]))
    _check_width("bias", artefact.tensors["bias"].shape, (width,))
    ids_of = partial(source_ids, material, **settings)
    examples = {(row.task_id, row.example_id): row for task_id in changed for row in material.examples.get(task_id, ())}

    def show(task: Task, example: Example) -> Shown:
        return Shown(soft_tokens=len(ids_of(task, example)) if task.task_id in changed else 0)

    def soft(row: TrainingRow) -> Tensor:
        ids = ids_of(material.tasks[row.task_id], examples[row.task_id, row.example_id])
        return F.linear(vectors(ids), artefact.tensors["weight"], artefact.tensors["bias"])

    return Applied(show, soft)


def _weights(artefact: Artefact, material: Material) -> Applied:
    return Applied(weights=artefact.settings["weights"])


def _exemplars(artefact: Artefact, material: Material) -> Applied:
    """The best-ranked exemplars of the task that are not the row's own instance, or some drawn for the row."""
    settings = artefact.settings
    known = {
        task_id: [Candidate(one["example_id"], Exemplar(one["input"], one["output"])) for one in ranked]
        for task_id, ranked in settings["candidates"].items()
    }
    number, seed = settings["exemplars"], settings["draw_seed"]

    def show(task: Task, example: Example) -> Shown:
        if task.task_id not in known:
            return Shown()
        fit = [one.exemplar for one in known[task.task_id] if one.may_serve(example)]
        if "chosen" in settings:
            places = settings["chosen"].get(task.task_id, {}).get(example.example_id)
            if places is None:
                raise InputError(
                    f"instructions: no exemplar was chosen for example {example.example_id} of task {task.task_id}: they were "
                    "made for another pool. Run the stage optimize_instructions again."
                )
            fit = [known[task.task_id][place].exemplar for place in places]
        if seed is not None:
            random.Random(stable_integer(seed, "exemplars", task.task_id, example.example_id)).shuffle(fit)
        # Where exemplars were to stand in the instruction's stead and there is none, its text stays.
        return Shown(wording=settings["instruction"] or (number > 0 and not fit), exemplars=tuple(fit[:number]))

    return Applied(show)
