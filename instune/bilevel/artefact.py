"""The instructions that the fine-tuning trains with: a folder that optimize_instructions writes and finetune reads.

`instructions.json` holds the kind, the base model's hash, the task ids, what finetune needs beside tensors, and a readable
description of what was learned; `parameters.safetensors` holds the tensors and is absent where nothing was learned; `model/` is
the model that was trained along, where it is handed over.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from instune.errors import InputError
from instune.results import read_json, write_json

INSTRUCTIONS, PARAMETERS, MODEL = "instructions.json", "parameters.safetensors", "model"
KINDS = ("human", "embedder_direct", "embedder_conversion", "extractor_direct", "extractor_conversion", "reweight")


@dataclass(frozen=True)
class Artefact:
    """What to put in the place of the human instruction, per task.

    Attributes:
        kind: one of `KINDS`; `human` replaces nothing.
        base_model_hash: `weights_hash` of the base model that it was made for.
        task_ids: tasks that it changes; every other task keeps its human instruction.
        tensors: what was learned, float32 on the CPU; `soft_prompts` (n_task, n_tokens, d) is in the order of `task_ids`.
        settings: what a kind needs beside its tensors.
    """

    kind: str
    base_model_hash: str
    task_ids: tuple[str, ...] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def human_tasks(self, task_ids: Iterable[str]) -> list[str]:
        """Those of the given tasks whose instruction stays human."""
        known = set(self.task_ids)
        return [task_id for task_id in task_ids if task_id not in known]

    def check_base_model(self, weights: str) -> None:
        """Refuse what was learned with another model.

        Raises:
            InputError: the artefact was made with a base model of another hash; human instructions fit every model.
        """
        if self.kind != "human" and weights != self.base_model_hash:
            raise InputError(
                f"instructions: this {self.kind} artefact was made with base model {self.base_model_hash}, and the base model "
                f"now is {weights}. Run optimize_instructions again, or set optimize.method: human."
            )


def save_artefact(
    folder: Path, artefact: Artefact, description: Mapping[str, Any], *, save_model: Callable[[Path], None] | None = None
) -> None:
    """Write the folder whole or not at all.

    Args:
        description: readable facts, added to `instructions.json` (nearest tokens, diversity).
        save_model: writes the model that is handed over into the folder it is given; None: fine-tuning starts from base.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        facts = {
            "kind": artefact.kind,
            "base_model": artefact.base_model_hash,
            "tasks": list(artefact.task_ids),
            "settings": dict(artefact.settings),
            "learned": bool(artefact.tensors),
        }
        write_json(partial / INSTRUCTIONS, dict(description) | facts)
        if artefact.tensors:
            save_file({name: tensor.contiguous() for name, tensor in artefact.tensors.items()}, partial / PARAMETERS)
        if save_model is not None:
            save_model(partial / MODEL)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def handed_over(folder: Path) -> Path | None:
    """The model that fine-tuning starts from, None where that is the base model."""
    return folder / MODEL if (folder / MODEL).exists() else None


def load_artefact(folder: Path) -> Artefact:
    """Read what `save_artefact` wrote.

    Raises:
        InputError: no artefact there, an unknown kind, or parts that do not fit each other.
    """
    try:
        facts = read_json(folder / INSTRUCTIONS)
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no {INSTRUCTIONS}. Run the stage optimize_instructions.") from None
    kind = facts["kind"]
    if kind not in KINDS:
        raise InputError(
            f"{folder / INSTRUCTIONS}: kind {kind!r} is not known. There are: {', '.join(KINDS)}.\n"
            "  Run optimize_instructions again."
        )
    if kind == "human":
        return Artefact("human", facts["base_model"])
    if facts["learned"] and not (folder / PARAMETERS).exists():
        raise InputError(f"{folder}: kind {kind}, but no {PARAMETERS}. Run the stage optimize_instructions again.")
    tensors = load_file(folder / PARAMETERS) if facts["learned"] else {}
    artefact = Artefact(kind, facts["base_model"], tuple(facts["tasks"]), tensors, facts["settings"])
    prompts = artefact.tensors.get("soft_prompts")
    if prompts is not None and (prompts.dim() != 3 or len(prompts) != len(artefact.task_ids)):
        raise InputError(
            f"{folder / PARAMETERS}: shape {tuple(prompts.shape)} does not fit {len(artefact.task_ids)} tasks. "
            "Run the stage optimize_instructions again."
        )
    return artefact
