"""What a user can hand in: for each kind of file a whole working folder, the files to break in it, and what then runs."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from encoders import save_encoder
from finetuning import PARAMS as FINETUNING
from makers import make_example, make_task
from optimizing import OPTIMIZE, PROMPT
from ruamel.yaml import YAML
from transformers import T5Config, T5ForConditionalGeneration

from instune.bilevel.artefact import Artefact, save_artefact
from instune.bilevel.checkpoint import FoldState
from instune.config import read_params
from instune.evaluation import streaming
from instune.evaluation.predictions import Prediction, write_predictions
from instune.models import load_tokenizer, save, weights_hash
from instune.records import write_examples, write_tasks
from instune.results import write_json
from instune.selection.table import Embeddings, write
from instune.tuning.train import Trainer
from stages.command import INTERRUPTED, run
from tools.sweep.plan import arms_of, read_sweep

ROOT = Path(__file__).parents[1]
TASKS = [make_task(number, split="train" if number < 4 else "test", category="c") for number in range(5)]
SELECTED = [task.task_id for task in TASKS[:4]]
TUNED = {"max_tokens": 300, "validation_share": 0.0, "validate_every": 1, "checkpoint_every": 1, "micro_batch_tokens": 300}
DRAWN = {"instruction": False, "exemplars": 1, "draw_seed": None}


@dataclass(frozen=True)
class Case:
    """One kind of file.

    Attributes:
        make: fills the current folder, which holds the tiny model in `my-model` and a pool.
        files: glob patterns of what is broken.
        stage: reads it.
    """

    make: Callable[[], None]
    files: tuple[str, ...]
    stage: Callable[[], None]


def fill(model: Path) -> None:
    """A model, a pool, a choice and every section of the parameters in the current folder, sized for a second of work."""
    shutil.copytree(model, "my-model")
    write_tasks(Path("data/pool/tasks.parquet"), TASKS)
    write_examples(Path("data/pool/examples.parquet"), [make_example(task, number) for task in TASKS for number in range(3)])
    write_json(Path("data/selection.json"), {"targets": {"task4": []}, "selected": SELECTED, "examples": None})
    save_artefact(Path("data/instructions"), Artefact("human", weights_hash(Path("my-model"))), {})
    params = read_params(ROOT / "params.yaml") | {
        "prompt": PROMPT,
        "targets": {"by": "split", "values": ["test"], "examples_per_task": 2},
        "base_model": {"source": "local", "name": "my-model"},
        "finetune": FINETUNING["finetune"] | TUNED,
        "optimize": {"method": "embedder_direct"} | OPTIMIZE | {"outer_steps": 1},
        "select": read_params(ROOT / "params.yaml")["select"] | {"top_k": 2},
        "evaluate": {"max_new_tokens": 2, "batch_size": 2, "precision": "float32"},
    }
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


def stage(name: str, **paths: str) -> None:
    """Run a stage as the command line does."""
    places = {"tasks": "data/pool/tasks.parquet", "examples": "data/pool/examples.parquet"} | paths
    main = importlib.import_module(f"stages.{name}").main
    known = main.__kwdefaults__ or {}
    wanted = [key for key in main.__annotations__ if key != "return" and key not in known]
    run(main, [word for key in wanted for word in (f"--{key.replace('_', '-')}", places[key])])


def finetune() -> None:
    stage(
        "finetune",
        selection="data/selection.json",
        instructions="data/instructions",
        model="my-model",
        out="data/models/tuned",
        report="reports/finetune.json",
        curves="reports/curves/finetune",
    )


def optimize() -> None:
    stage(
        "optimize_instructions",
        selection="data/selection.json",
        model="my-model",
        out="data/learned",
        report="reports/optimize.json",
        curves="reports/curves/optimize",
    )


def evaluate(model: str = "my-model") -> None:
    stage("evaluate", model=model, out="data/predictions/base")


def base_model() -> None:
    """A local model as a whole: what base_model accepts, evaluate can ask."""
    stage("base_model", out="data/models/base")
    evaluate("data/models/base")


def encoder_decoder() -> None:
    """A small T5 in the place of the causal model."""
    tokenizer = load_tokenizer(Path("my-model"))
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), **shape, decoder_start_token_id=tokenizer.pad_token_id)
    save(T5ForConditionalGeneration(config), tokenizer, Path("my-model"))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("template: chat", "template: plain"))


def trained() -> None:
    """A local model as base_model takes it, and as finetune trains it."""
    reference()
    finetune()


def encoder() -> None:
    """A small sentence encoder in `my-encoder`, and parameters that choose it."""
    save_encoder(load_tokenizer(Path("my-model")), Path("my-encoder"))
    params = read_params(Path("params.yaml"))
    params["align"] |= {"encoder": "my-encoder"}
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


def embed() -> None:
    stage("align", out="data/models/selector", report="reports/align.json")
    stage("embed", selector="data/models/selector", out="data/embeddings.parquet", report="reports/embed.json")


def reference() -> None:
    stage("base_model", out="data/models/base")


def referred() -> None:
    stage("lengths", model="data/models/base", out="reports/lengths.json")
    evaluate("data/models/base")


def artefact(kind: str, tensors: dict[str, torch.Tensor], settings: dict[str, Any]) -> Callable[[], None]:
    def make() -> None:
        made = Artefact(kind, weights_hash(Path("my-model")), ("task0", "task1"), tensors, settings)
        save_artefact(Path("data/instructions"), made, {"nearest": {"task0": ["a", "b"]}})

    return make


def candidates() -> dict[str, Any]:
    ranked = [{"example_id": f"x{number}", "input": "An apple.", "output": "red"} for number in range(2)]
    return {"candidates": {"task0": ranked, "task1": ranked}} | DRAWN


def vectors() -> None:
    count = sum(len(task.wordings) for task in TASKS)
    ids = tuple(task.task_id for task in TASKS for _ in task.wordings)
    unit = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    indices = np.array([index for task in TASKS for index in range(len(task.wordings))])
    rows = Embeddings(ids, indices, unit / np.linalg.norm(unit, axis=1, keepdims=True), np.zeros(count, dtype=bool))
    write(Path("data/embeddings.parquet"), {"wording": rows})
    write(Path("data/model_embeddings.parquet"), {})


def select() -> None:
    stage(
        "select_tasks",
        embeddings="data/embeddings.parquet",
        model_embeddings="data/model_embeddings.parquet",
        out="data/chosen.json",
        details="data/chosen_details.json",
    )


def interrupted(work: Callable[[], None], owner: Any, name: str, *, after: int) -> Callable[[], None]:
    """The work killed at a call of a method, its checkpoint left behind."""

    def make() -> None:
        real, calls = getattr(owner, name), []

        def killed(*args: Any, **keywords: Any) -> Any:
            calls.append(name)
            if len(calls) > after:
                raise KeyboardInterrupt
            return real(*args, **keywords)

        with mock.patch.object(owner, name, killed):
            try:
                work()
            except SystemExit as ended:
                if ended.code == INTERRUPTED:
                    return
                raise
        raise AssertionError(f"{name} was called {len(calls)} times only")

    return make


def predictions() -> None:
    for model in ("base", "tuned"):
        rows = [
            Prediction("task4", f"task4-{number}", "?", "h", "blue", ["red"], None, None, 3.0, 2, 9, 4, "stop", "m", [], False)
            for number in range(3)
        ]
        write_predictions(Path(f"data/predictions/{model}"), rows)


def score() -> None:
    places = {name: f"data/predictions/{name}" for name in ("base", "tuned")}
    stage("score", **places, metrics="reports/metrics.json", scores="reports/scores.json", table="reports/scores.csv")


def sweep() -> None:
    def main() -> None:
        for path in sorted(Path("sweeps").iterdir()):
            arms_of(path.stem, read_sweep(path), Path())

    run(main, [])


def sweep_files() -> None:
    for folder in ("sweeps", "profiles"):
        shutil.copytree(ROOT / folder, folder)


def as_json() -> None:
    """params.yaml as JSON on one line, so that each value can be replaced."""
    Path("params.yaml").write_text(json.dumps(read_params(Path("params.yaml"))))


def nothing() -> None:
    """The folder is whole as it is."""


SOFT = {"soft_prompts": torch.zeros(2, 3, 32)}
LINEAR = {"weight": torch.eye(32), "bias": torch.zeros(32)}
CONVERSION = {"soft_tokens": 3, "source": "definition", "convert_by": "table", "seed": 0}
SHAPE = ("my-model/config.json", "my-model/generation_config.json")
ARTEFACT = ("data/instructions/*",)
CASES = {
    "params": Case(nothing, ("params.yaml",), lambda: stage("check")),
    "params_values": Case(as_json, ("params.yaml",), lambda: stage("check")),
    "params_of_a_stage": Case(as_json, ("params.yaml",), lambda: stage("playground", out="data/raw/playground")),
    "model_config": Case(nothing, SHAPE, base_model),
    "model_config_to_train": Case(nothing, SHAPE, trained),
    "model_config_seq2seq": Case(encoder_decoder, SHAPE, base_model),
    "model_tokenizer": Case(nothing, ("my-model/token*.json", "my-model/chat_template.jinja"), base_model),
    "model_weights": Case(nothing, ("my-model/model.safetensors",), base_model),
    "model_reference": Case(reference, ("data/models/base/model.json",), referred),
    "encoder": Case(encoder, ("my-encoder/*.json", "my-encoder/*/*.json"), embed),
    "encoder_weights": Case(encoder, ("my-encoder/*.safetensors",), embed),
    "selection": Case(nothing, ("data/selection.json",), finetune),
    "selection_to_optimize": Case(nothing, ("data/selection.json",), optimize),
    "artefact_human": Case(nothing, ARTEFACT, finetune),
    "artefact_soft": Case(artefact("embedder_direct", SOFT, {}), ARTEFACT, finetune),
    "artefact_converted": Case(artefact("embedder_conversion", LINEAR, CONVERSION), ARTEFACT, finetune),
    "artefact_exemplars": Case(artefact("extractor_direct", {}, candidates()), ARTEFACT, finetune),
    "artefact_weights": Case(artefact("reweight", {}, {"weights": {"task0": 1.0, "task1": 2.0}}), ARTEFACT, finetune),
    "pool_tables": Case(vectors, ("data/pool/*.parquet",), select),
    "pool_tables_to_train": Case(nothing, ("data/pool/*.parquet",), finetune),
    "embeddings": Case(vectors, ("data/*embeddings.parquet",), select),
    "checkpoint_finetune": Case(interrupted(finetune, Trainer, "_step", after=1), (".scratch/finetune/*/*",), finetune),
    "checkpoint_optimize": Case(
        interrupted(optimize, FoldState, "save", after=1), (".scratch/optimize_instructions/*/*",), optimize
    ),
    "checkpoint_evaluate": Case(interrupted(evaluate, streaming, "likelihoods", after=0), (".scratch/evaluate/*/*",), evaluate),
    "predictions": Case(predictions, ("data/predictions/*/*",), score),
    "sweeps": Case(sweep_files, ("sweeps/*.yaml",), sweep),
}
