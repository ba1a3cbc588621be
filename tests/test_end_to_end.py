"""The whole pipeline in one process, with a model of some thousand parameters: every stage as dvc.yaml calls it."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from test_pipeline import RUNS

from instune.config import read_params
from instune.records import read_examples, read_tasks
from instune.targets import Targets, source_tasks, target_tasks
from stages.command import run

ROOT = Path(__file__).parents[1]
SMALL = {
    "base_model": {
        "source": "from_scratch",
        "vocab_size": 600,
        "hidden_size": 32,
        "layers": 2,
        "heads": 2,
        "steps": 5,
        "batch_size": 2,
        "length": 64,
        "learning_rate": 1e-3,
        "seed": 0,
    },
    "playground": {"seed": 0, "instances_per_task": 6},
    "targets": {"by": "split", "values": ["test"], "examples_per_task": 2},
    "prompt": {"max_tokens": 1200, "max_instruction_tokens": 700, "max_input_tokens": 400},
    "finetune": {"max_tokens": 12_000},
    "evaluate": {"max_new_tokens": 4},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which every stage has run once, in the order of dvc.yaml."""
    folder = tmp_path_factory.mktemp("pipeline")
    params = read_params(ROOT / "params.yaml")
    for section, values in SMALL.items():
        params[section] = values if section == "base_model" else {**params[section], **values}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        YAML().dump(params, Path("params.yaml"))
        for name, stage in RUNS:
            words = shlex.split(stage["cmd"])
            run(importlib.import_module(f"stages.{name}").main, words[3:])
    return folder


def test_every_declared_output_is_written(finished):
    for _, stage in RUNS:
        for part in ("outs", "metrics", "plots"):
            for entry in stage.get(part, []):
                path = entry if isinstance(entry, str) else next(iter(entry))
                assert (finished / path).exists(), path
    assert not list(finished.rglob("*.partial"))


def test_metrics_hold_both_models_and_the_page_is_self_contained(finished):
    metrics = json.loads((finished / "reports/metrics.json").read_text())
    for model in ("base", "tuned"):
        assert set(metrics[model]) == {"exact_match", "rouge_l", "nll"}
    assert (finished / "reports/report.html").read_text().startswith("<!doctype html>")


def test_nothing_of_a_target_is_in_what_is_trained_on(finished):
    params = read_params(finished / "params.yaml")
    tasks = read_tasks(finished / "data/pool/tasks.parquet")
    targets = Targets(**params["targets"])
    held_out, allowed = target_tasks(tasks, targets), source_tasks(tasks, targets)
    selected = json.loads((finished / "data/selection.json").read_text())["selected"]
    assert selected
    assert set(selected) <= set(allowed)
    assert not set(selected) & set(held_out)

    def texts(task_ids):
        return {example.input.strip().lower() for example in read_examples(finished / "data/pool/examples.parquet", task_ids)}

    assert not texts(allowed) & texts(held_out)
    wordings = {wording.strip().lower() for task_id in held_out for wording in tasks[task_id].wordings}
    assert not wordings & {wording.strip().lower() for task_id in allowed for wording in tasks[task_id].wordings}
