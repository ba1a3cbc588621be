"""The optimize_instructions stage's parameters and files on a tiny pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.records import Example, Task, write_examples, write_tasks
from instune.results import write_json

EXTRACTOR = {
    "choose": "learned",
    "exemplars": 1,
    "candidates": 4,
    "max_tokens": 40,
    "choice": "hard",
    "temperature": 1.0,
    "gumbel": True,
    "instruction": True,
}
OPTIMIZE = {
    "keep_model": False,
    "folds": 2,
    "outer_steps": 2,
    "inner_steps": 1,
    "batch_size": 2,
    "meta_batch_size": 2,
    "micro_batch_tokens": 500,
    "inner_optimizer": "sgd",
    "inner_learning_rate": 0.05,
    "outer_learning_rate": 0.01,
    "lora": None,
    "solver": "neumann",
    "terms": 1,
    "gamma": "auto",
    "damping": 0.0,
    "product": "central_difference",
    "difference_step": 3e-3,
    "precision": "float32",
    "attention": "sdpa",
    "gradient_checkpointing": False,
    "checked_batches": 0,
    "checkpoint_every": 1,
    "validation": None,
    "embedder": {"soft_tokens": 3, "initial": "definition", "source": "definition", "convert_by": "table"},
    "extractor": EXTRACTOR,
}
PROMPT = {"template": "chat", "instruction_position": "before", "wording": "any", "exemplars": 0}
PROMPT |= {"max_instruction_tokens": 40, "max_input_tokens": 40, "max_tokens": 120}


def write_params(method: str, **changes: Any) -> None:
    """Write params.yaml with changes of the section optimize."""
    params = {"seed": 0, "prompt": PROMPT, "optimize": {"method": method} | OPTIMIZE | changes}
    YAML().dump(params, Path("params.yaml"))


def paths_of(pool: tuple[dict[str, Task], list[Example]], model_folder: Path) -> dict[str, Path]:
    """Fill the current folder with what the stage reads; task5 has no example. Returns its keyword arguments."""
    tasks, examples = pool
    write_tasks(Path("tasks.parquet"), tasks.values())
    write_examples(Path("examples.parquet"), [example for example in examples if example.task_id != "task5"])
    write_json(Path("selection.json"), {"selected": [f"task{number}" for number in range(6)]})
    return {
        "selection": Path("selection.json"),
        "tasks": Path("tasks.parquet"),
        "examples": Path("examples.parquet"),
        "model": model_folder,
        "out": Path("data/instructions"),
        "report": Path("reports/optimize.json"),
        "curves": Path("reports/curves/optimize"),
    }


def content(*roots: Path) -> dict[str, bytes]:
    """Bytes of every file below, by name."""
    files = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()]
    return {str(file): file.read_bytes() for file in files}
