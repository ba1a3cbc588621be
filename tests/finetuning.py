"""The finetune stage's parameters and files on a tiny pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.bilevel.artefact import Artefact, save_artefact
from instune.models import weights_hash
from instune.records import Example, Task, write_examples, write_tasks
from instune.results import write_json
from instune.tuning.settings import Finetune

PARAMS = {
    "seed": 0,
    "prompt": {
        "template": "chat",
        "instruction_position": "before",
        "wording": "any",
        "exemplars": 0,
        "max_instruction_tokens": 64,
        "max_input_tokens": 64,
        "max_tokens": 128,
    },
    "finetune": {
        "loss_mask": "it",
        "loss_turns": {"assistant": "all", "user": "all"},
        "normalize_by": "weights",
        "method": "full",
        "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.1},
        "max_tokens": 1200,
        "epochs": 1,
        "batch_size": 4,
        "micro_batch_tokens": 256,
        "packing": True,
        "gradient_checkpointing": False,
        "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        "learning_rate": 1e-3,
        "schedule": "linear",
        "warmup_share": 0.1,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "neftune_alpha": 0.0,
        "kl_weight": 0.0,
        "validation_share": 0.25,
        "validation_rows": 4,
        "validate_every": 2,
        "checkpoint_every": 2,
        "precision": "float32",
    },
}
SELECTED = ["task0", "task1", "task2", "task3"]


def section(**changes: Any) -> Finetune:
    """The section as it is read, with changes."""
    return Finetune.model_validate(PARAMS["finetune"] | changes)


def workspace_of(pool: tuple[dict[str, Task], list[Example]], model_folder: Path) -> dict[str, Path]:
    """Fill the current folder with everything that the stage reads; returns its keyword arguments."""
    tasks, examples = pool
    write_tasks(Path("tasks.parquet"), tasks.values())
    write_examples(Path("examples.parquet"), examples)
    write_json(Path("selection.json"), {"selected": SELECTED})
    save_artefact(Path("instructions"), Artefact("human", weights_hash(model_folder)), {})
    set_params()
    return {
        "selection": Path("selection.json"),
        "instructions": Path("instructions"),
        "tasks": Path("tasks.parquet"),
        "examples": Path("examples.parquet"),
        "model": model_folder,
        "out": Path("tuned"),
        "report": Path("finetune.json"),
        "curves": Path("curves"),
    }


def set_params(**changes: Any) -> None:
    """Write params.yaml with changes of the section finetune."""
    with Path("params.yaml").open("w") as file:
        YAML().dump(PARAMS | {"finetune": PARAMS["finetune"] | changes}, file)
