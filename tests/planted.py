"""Pools in which the right instructions, exemplars or weights are known, and folds on them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.bilevel.batches import draws_of
from instune.bilevel.instructions import Passes
from instune.bilevel.loop import Fold
from instune.bilevel.parameterizations.base import Material, Parameterization
from instune.bilevel.parameterizations.reweight import Reweight
from instune.bilevel.schedule import Schedule, Solve, Split
from instune.prompts import Prompt, load_template
from instune.records import Example, Exemplar, Task

PROMPT = Prompt(
    template="chat",
    instruction_position="before",
    wording="definition",
    exemplars=0,
    max_instruction_tokens=40,
    max_input_tokens=40,
    max_tokens=160,
)
SCHEDULE = Schedule(
    outer_steps=20,
    inner_steps=1,
    batch_size=8,
    meta_batch_size=8,
    inner_optimizer="sgd",
    inner_learning_rate=0.1,
    outer_learning_rate=0.1,
    checkpoint_every=100,
)
SOLVE = Solve(solver="neumann", product="central_difference", difference_step=3e-3, terms=1, gamma="auto")
KINDS = {"apple": "red", "leaf": "green", "sky": "blue", "sun": "yellow"}


def silent(step: int, facts: dict[str, float]) -> None:
    """Log nothing."""


def colour_pool(train: int, test: int, *, noisy: Sequence[str], examples: int = 16) -> tuple[list[Task], list[Example]]:
    """Tasks that all ask for the colour of a thing; those of the noisy ones have any answer but the right one."""
    tasks, rows = [], []
    for number in range(train + test):
        task = Task(f"task{number}", "planted", "colour", "Name the colour.", ("Name the colour.",))
        tasks.append(task)
        things = [list(KINDS)[place % len(KINDS)] for place in range(examples)]
        answers = [KINDS[thing] for thing in things]
        if task.task_id in noisy:
            draw = random.Random(number)
            answers = [draw.choice([other for other in KINDS.values() if other != answer]) for answer in answers]
        pairs = enumerate(zip(things, answers, strict=True))
        rows += [Example(task.task_id, f"{task.task_id}-{place}", thing, (answer,)) for place, (thing, answer) in pairs]
    return tasks, rows


def material_of(
    tasks: Sequence[Task],
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    *,
    prompt: Prompt = PROMPT,
    seed: int = 0,
) -> Material:
    """What instructions of these tasks are made from."""
    by_task: Mapping[str, list[Example]] = {task.task_id: [] for task in tasks}
    for example in examples:
        by_task[example.task_id].append(example)
    table = model.get_input_embeddings().weight.detach().clone()
    known = {task.task_id: task for task in tasks}
    return Material(known, by_task, tokenizer, table, load_template(prompt.template, tokenizer), prompt, seed)


def fold_of(model: PreTrainedModel, material: Material, learnable: Parameterization, split: Split) -> Fold:
    """The fold that learns on `split.train` and is measured on `split.test`."""
    passes = Passes(material.tokenizer.pad_token_id)
    return Fold(
        model,
        learnable,
        inner=draws_of(material, learnable.show),
        human=draws_of(material),
        split=split,
        passes=passes,
        name="fold",
    )


def outer_loss_after(fold: Fold, rows: int) -> float:
    """L_meta on one large batch at the present theta."""
    with torch.no_grad():
        return sum(part.item() for part in fold.outer_loss(rows, "afterwards")())


def taught(model: PreTrainedModel, material: Material, task_ids: Sequence[str], *, steps: int) -> PreTrainedModel:
    """The model after Adam steps on some tasks with human instructions."""
    fold = fold_of(model, material, Reweight(material, task_ids, model.device), Split(task_ids, task_ids))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        sum(fold.outer_loss(16, "teaching", step)()).backward()
        adam.step()
        adam.zero_grad()
    return model


COPYING = PROMPT.model_copy(update={"exemplars": 1})
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def copy_pool(letters: Sequence[str], *, examples: int = 12) -> tuple[list[Task], list[Example]]:
    """Tasks whose answer is always one letter, which their worked example alone tells."""
    tasks, rows = [], []
    for number, letter in enumerate(letters):
        shown = Exemplar("the", letter)
        name = f"task{number:02d}"
        tasks.append(Task(name, "planted", "copy", "Say it.", ("Say it.",), positive_examples=(shown,)))
        rows += [Example(name, f"{name}-{place}", str(place), (letter,)) for place in range(examples)]
    return tasks, rows


def say_pool(*, misleading: int, examples: int = 12) -> tuple[list[Task], list[Example]]:
    """Sixteen tasks whose definition names the letter to answer with; that of the first `misleading` tasks names another."""
    tasks, rows = [], []
    for number in range(16):
        letter = "abcd"[number % 4]
        definition = f"Say {'abcd'[(number + 1) % 4] if number < misleading else letter}."
        name = f"task{number:02d}"
        tasks.append(Task(name, "planted", "say", definition, (definition,)))
        rows += [Example(name, f"{name}-{place}", str(place), (letter,)) for place in range(examples)]
    return tasks, rows
