"""The instructions that the fine-tuning trains with: a folder that optimize_instructions writes and finetune reads.

`instructions.json` holds the kind, the base model's hash, the task ids in the order of the tensor's rows, and a readable
description of every prompt; `soft_prompts.safetensors` holds the tensor and is absent for human instructions.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from instune.errors import InputError
from instune.results import read_json, write_json

Kind = Literal["human", "embedder_direct"]
INSTRUCTIONS, SOFT_PROMPTS = "instructions.json", "soft_prompts.safetensors"


@dataclass(frozen=True)
class Artefact:
    """What to put in the place of the human instruction, per task.

    Attributes:
        kind: `human` (nothing is replaced) or `embedder_direct` (a matrix of input embeddings per task).
        base_model_hash: `weights_hash` of the base model that the prompts were made for.
        task_ids: tasks that have a soft prompt; every other task keeps its human instruction.
        soft_prompts: (n_task, n_tokens, d) float32 on the CPU in the order of `task_ids`, or None.
    """

    kind: Kind
    base_model_hash: str
    task_ids: tuple[str, ...] = ()
    soft_prompts: torch.Tensor | None = None

    @property
    def soft_tokens(self) -> int:
        """Tokens of every soft prompt, 0 where there is none."""
        return 0 if self.soft_prompts is None else self.soft_prompts.shape[1]

    def prompt(self, task_id: str) -> torch.Tensor | None:
        """The task's soft prompt (n_tokens, d), or None where its instruction stays human."""
        if self.soft_prompts is None or task_id not in self.task_ids:
            return None
        return self.soft_prompts[self.task_ids.index(task_id)]

    def human_tasks(self, task_ids: Iterable[str]) -> list[str]:
        """Those of the given tasks whose instruction stays human."""
        known = set(self.task_ids)
        return [task_id for task_id in task_ids if task_id not in known]

    def check_base_model(self, weights: str) -> None:
        """Refuse prompts that live in another model's embedding space.

        Raises:
            InputError: the artefact was made with a base model of another hash; human instructions fit every model.
        """
        if self.kind != "human" and weights != self.base_model_hash:
            raise InputError(
                f"instructions: this {self.kind} artefact was made with base model {self.base_model_hash}, and the base model "
                f"now is {weights}. Run optimize_instructions again, or set optimize.method: human."
            )


def save_artefact(folder: Path, artefact: Artefact, description: Mapping[str, Any]) -> None:
    """Write the folder whole or not at all.

    Args:
        description: readable facts, added to `instructions.json` (nearest tokens, diversity).
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        facts = {
            "kind": artefact.kind,
            "base_model": artefact.base_model_hash,
            "tasks": list(artefact.task_ids),
            "soft_tokens": artefact.soft_tokens,
        }
        write_json(partial / INSTRUCTIONS, dict(description) | facts)
        if artefact.soft_prompts is not None:
            save_file({"soft_prompts": artefact.soft_prompts.contiguous()}, partial / SOFT_PROMPTS)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_artefact(folder: Path) -> Artefact:
    """Read what `save_artefact` wrote.

    Raises:
        InputError: no artefact there, or its parts do not fit each other.
    """
    try:
        facts = read_json(folder / INSTRUCTIONS)
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no {INSTRUCTIONS}. Run the stage optimize_instructions.") from None
    if facts["kind"] == "human":
        return Artefact("human", facts["base_model"])
    if not (folder / SOFT_PROMPTS).exists():
        raise InputError(f"{folder}: kind {facts['kind']}, but no {SOFT_PROMPTS}. Run the stage optimize_instructions again.")
    prompts = load_file(folder / SOFT_PROMPTS)["soft_prompts"]  # (n_task, n_tokens, d)
    if prompts.dim() != 3 or list(prompts.shape[:2]) != [len(facts["tasks"]), facts["soft_tokens"]]:
        raise InputError(
            f"{folder / SOFT_PROMPTS}: shape {tuple(prompts.shape)} does not fit {len(facts['tasks'])} tasks of "
            f"{facts['soft_tokens']} tokens. Run the stage optimize_instructions again."
        )
    return Artefact(facts["kind"], facts["base_model"], tuple(facts["tasks"]), prompts)
