"""The instructions that the fine-tuning trains with: a folder that optimize_instructions writes and finetune reads.

`instructions.json` holds the kind, the base model's hash, the task ids, what finetune needs beside tensors, and a readable
description of what was learned; `parameters.safetensors` holds the tensors and is absent where nothing was learned; `model/` is
the model that was trained along, where it is handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from instune.errors import InputError
from instune.files import replacing
from instune.results import Content, read_json, write_json
from instune.shown import first_line, shown
from instune.validation import listed, problems_of

INSTRUCTIONS, PARAMETERS, MODEL = "instructions.json", "parameters.safetensors", "model"
KINDS = ("human", "embedder_direct", "embedder_conversion", "extractor_direct", "extractor_conversion", "reweight")

NEEDED = {"embedder_direct": ("soft_prompts",), "embedder_conversion": ("weight", "bias")}  # tensors, by kind
WAY_OUT = "Run the stage optimize_instructions again."


class Facts(Content):
    """The keys of `instructions.json` that are read."""

    kind: str
    base_model: str
    tasks: list[str]
    settings: dict[str, Any] = Field(default_factory=dict)  # none of human instructions
    learned: bool = False


class _Conversion(Content):
    model_config = ConfigDict(extra="forbid")  # they are passed on as keywords

    source: Literal["definition", "instance"]
    convert_by: Literal["table", "encoder"]
    soft_tokens: PositiveInt
    seed: int


class _Candidate(Content):
    example_id: str
    input: str
    output: str


class _Exemplars(Content):
    candidates: dict[str, list[_Candidate]]  # task id -> its candidates, best first
    exemplars: NonNegativeInt  # in a prompt
    instruction: bool
    draw_seed: int | None
    chosen: dict[str, dict[str, list[NonNegativeInt]]] = Field(default_factory=dict)  # task -> example -> places in `candidates`

    @model_validator(mode="after")
    def _places_exist(self) -> _Exemplars:
        for task_id, examples in self.chosen.items():
            places = [place for chosen in examples.values() for place in chosen]
            if places and max(places) >= len(self.candidates.get(task_id, ())):
                raise ValueError(f"chosen: names candidate {max(places)} of task {task_id}, which has not so many")
        return self


class _Weights(Content):
    weights: dict[str, NonNegativeFloat]  # task id -> how often it is drawn


SETTINGS: dict[str, type[Content]] = {
    "embedder_conversion": _Conversion,
    "extractor_direct": _Exemplars,
    "extractor_conversion": _Exemplars,
    "reweight": _Weights,
}


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
    facts = {
        "kind": artefact.kind,
        "base_model": artefact.base_model_hash,
        "tasks": list(artefact.task_ids),
        "settings": dict(artefact.settings),
        "learned": bool(artefact.tensors),
    }
    with replacing(folder) as partial:
        partial.mkdir()
        write_json(partial / INSTRUCTIONS, dict(description) | facts)
        if artefact.tensors:
            save_file({name: tensor.contiguous() for name, tensor in artefact.tensors.items()}, partial / PARAMETERS)
        if save_model is not None:
            save_model(partial / MODEL)


def handed_over(folder: Path) -> Path | None:
    """The model that fine-tuning starts from, None where that is the base model."""
    return folder / MODEL if (folder / MODEL).exists() else None


def _tensors(path: Path, kind: str) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}). {WAY_OUT}") from None
    if missing := sorted(set(NEEDED.get(kind, ())) - set(tensors)):
        raise InputError(f"{path}: kind {kind} needs {', '.join(missing)}, which is not there. {WAY_OUT}")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(f"{path}: {shown(name)} holds something else than finite numbers. {WAY_OUT}")
    return tensors


def load_artefact(folder: Path) -> Artefact:
    """Read what `save_artefact` wrote.

    Raises:
        InputError: no artefact there, an unknown kind, or parts that are broken or do not fit each other.
    """
    path = folder / INSTRUCTIONS
    if not path.exists():
        raise InputError(f"{folder}: holds no {INSTRUCTIONS}. {WAY_OUT}")
    facts = read_json(path, Facts)
    kind = facts["kind"]
    if kind not in KINDS:
        raise InputError(f"{path}: kind {shown(kind)} is not known. There are: {', '.join(KINDS)}.\n  {WAY_OUT}")
    if kind == "human":
        return Artefact("human", facts["base_model"])
    try:
        SETTINGS.get(kind, Content).model_validate(facts.get("settings", {}))
    except ValidationError as error:
        raise InputError(f"{path}: {listed(problems_of('settings', error))}\n  {WAY_OUT}") from None
    learned = facts.get("learned", False) or kind in NEEDED
    if learned and not (folder / PARAMETERS).exists():
        raise InputError(f"{folder}: kind {kind}, but no {PARAMETERS}. {WAY_OUT}")
    tensors = _tensors(folder / PARAMETERS, kind) if learned else {}
    artefact = Artefact(kind, facts["base_model"], tuple(facts["tasks"]), tensors, facts.get("settings", {}))
    prompts = artefact.tensors.get("soft_prompts")
    if prompts is not None and (prompts.dim() != 3 or len(prompts) != len(artefact.task_ids)):
        raise InputError(
            f"{folder / PARAMETERS}: shape {tuple(prompts.shape)} does not fit {len(artefact.task_ids)} tasks. {WAY_OUT}"
        )
    return artefact
