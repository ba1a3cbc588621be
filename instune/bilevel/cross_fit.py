"""A soft prompt for every task, each from a fold in which the task was trained on and others were held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.bilevel.batches import Draws, split_folds
from instune.bilevel.describe import diversity, instruction_means, nearest_tokens
from instune.bilevel.instructions import Initial, initial_prompts
from instune.bilevel.loop import Fold, Schedule, Solve
from instune.errors import InputError
from instune.prompts import Prompt, load_template
from instune.records import Example, Task
from instune.tuning.labels import loss_weights
from instune.tuning.rows import RowBuilder

EDGE = 3  # outer steps averaged at either end of a curve for the report


@dataclass(frozen=True)
class Learned:
    """Soft prompts with their tasks, what they look like, and how the folds went."""

    task_ids: tuple[str, ...]
    prompts: Tensor  # (n_task, soft_tokens, d)
    description: dict[str, Any]
    report: dict[str, Any]


class CrossFit:
    """The folds' common data.

    Args:
        tasks: those to learn instructions for.
        examples: of every task, at least one.
        new_model: a fresh copy of the base model, one per fold.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        examples: Mapping[str, Sequence[Example]],
        tokenizer: PreTrainedTokenizerBase,
        new_model: Callable[[], PreTrainedModel],
        *,
        prompt: Prompt,
        soft_tokens: int,
        initial: Initial,
        folds: int,
        seed: int,
    ) -> None:
        self.tasks, self.tokenizer, self.new_model = {task.task_id: task for task in tasks}, tokenizer, new_model
        self.soft_tokens, self.initial, self.seed = soft_tokens, initial, seed
        self.folds = split_folds(tasks, folds, seed=seed)
        self.examples, self.builders = examples, {}
        for name, places in (("soft", dict.fromkeys(self.tasks, soft_tokens)), ("human", {})):
            self.builders[name] = RowBuilder(
                self.tasks,
                tokenizer,
                load_template(prompt.template, tokenizer),
                prompt,
                weights=loss_weights("it"),
                normalize_by="weights",
                soft_tokens=places,
                seed=seed,
            )

    def run(
        self, schedule: Schedule, solve: Solve, *, scratch: Path, log: Callable[[str, int, dict[str, float]], None]
    ) -> Learned:
        """Run every fold; a task's prompt comes from the fold after the one that held it out.

        Args:
            scratch: folder of the checkpoints, one file per fold.
            log: called with fold, outer step and facts.
        """
        table = self.new_model().get_input_embeddings().weight.detach().float().cpu()  # (V, d)
        prompts, report, dropped = {}, [], Counter()
        for number, test in enumerate(self.folds):
            name, train = f"fold{number}", sorted(set(self.tasks) - set(test))
            fold = self._fold(name, train, test, table)
            state = fold.optimize(schedule, solve, checkpoint=scratch / f"{name}.pt", log=partial(log, name))
            for task_id in self.folds[number - 1]:
                prompts[task_id] = state.prompts[train.index(task_id)]
            dropped.update(state.dropped)
            report.append({"meta_train": train, "meta_test": test} | _ends(state.history))
        ids = tuple(sorted(prompts))
        stacked = torch.stack([prompts[task_id] for task_id in ids])  # (n_task, soft_tokens, d)
        compared = self._diversity(ids, stacked, table)
        description = {"diversity": compared, "nearest_tokens": self._nearest(ids, stacked, table)}
        return Learned(ids, stacked, description, {"folds": report, "diversity": compared, "dropped": dict(dropped)})

    def _fold(self, name: str, train: Sequence[str], test: Sequence[str], table: Tensor) -> Fold:
        model = self.new_model()
        if model.config.is_encoder_decoder:
            raise InputError("optimize.method: embedder_direct needs a causal model, and the base model is an encoder-decoder.")
        initial = initial_prompts(
            [self.tasks[task_id] for task_id in train],
            self.tokenizer,
            table,
            soft_tokens=self.soft_tokens,
            initial=self.initial,
            seed=self.seed,
        )
        soft, human = (Draws(self.builders[name], self.examples, seed=self.seed) for name in ("soft", "human"))
        pad = self.tokenizer.pad_token_id
        return Fold(model, initial, soft=soft, human=human, train=train, test=test, name=name, pad_id=pad)

    def _diversity(self, ids: Sequence[str], prompts: Tensor, table: Tensor) -> dict[str, Any]:
        human = instruction_means([self.tasks[task_id].definition for task_id in ids], self.tokenizer, table)
        return {"human": diversity(human), "learned": diversity(prompts.mean(1))}

    def _nearest(self, ids: Sequence[str], prompts: Tensor, table: Tensor) -> dict[str, Any]:
        pairs = zip(ids, prompts, strict=True)
        return {task_id: nearest_tokens(prompt, table, self.tokenizer) for task_id, prompt in pairs}


def _ends(history: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over the first and the last outer steps of what each reported."""
    names = [name for name in history[-1] if name in history[0]]
    ends = {"first": history[:EDGE], "last": history[-EDGE:]}
    return {end: {name: sum(row[name] for row in rows) / len(rows) for name in names} for end, rows in ends.items()}
