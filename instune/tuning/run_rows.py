"""The rows of one run, from section `finetune` and an artefact of instructions: what finetune trains on, what export writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from instune.bilevel.applied import Applied, applied
from instune.bilevel.artefact import Artefact
from instune.bilevel.material import base_material
from instune.bilevel.parameterizations.base import Material
from instune.prompts import Prompt
from instune.records import Example, Task
from instune.tuning.prepare import Prepared, group_by_task, prepare
from instune.tuning.settings import Finetune


def run_rows(
    selected: Sequence[str],
    tasks: Mapping[str, Task],
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    params: Finetune,
    artefact: Artefact,
    *,
    model: Path,
    device: torch.device,
    seq2seq: bool,
    seed: int,
) -> tuple[Prepared, Applied]:
    """Rows in training order, and what stands in them for the human instruction.

    Args:
        selected: tasks to train on.
        model: the base model's folder, which the artefact was made with.
        device: of the copy of it that instructions are converted with, where they are.

    Raises:
        InputError: of `prepare`.
    """

    def material() -> Material:
        encoded = artefact.settings.get("convert_by") == "encoder"
        known = (model, tokenizer, tasks, group_by_task(selected, examples), prompt, seed)
        return base_material(*known, encoded=encoded, device=device)

    instructions = applied(artefact, material)
    effect = {"show": instructions.show, "task_weights": instructions.weights}
    return prepare(selected, tasks, examples, tokenizer, prompt, params, **effect, seq2seq=seq2seq, seed=seed), instructions
