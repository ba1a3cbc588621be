"""What finetune does with learned instructions, chosen exemplars and weights of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finetuning import SELECTED, set_params, workspace_of

from instune.bilevel.artefact import Artefact, save_artefact
from instune.errors import InputError
from instune.models import weights_hash
from instune.results import read_json
from instune.tuning import train
from stages import finetune


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_pool, model_folder):
    """A folder with everything that the stage reads; returns its keyword arguments."""
    monkeypatch.chdir(tmp_path)
    return workspace_of(tiny_pool, model_folder)


def test_soft_instructions_of_another_base_model_are_refused(workspace):
    save_artefact(
        Path("instructions"), Artefact("embedder_direct", "0" * 16, ("task0",), {"soft_prompts": torch.zeros(1, 3, 32)}), {}
    )
    with pytest.raises(InputError, match="0000000000000000"):
        finetune.main(**workspace)


def test_soft_instructions_change_the_rows_and_are_trained_through(workspace, model_folder):
    prompts = torch.randn(6, 3, 32, generator=torch.Generator().manual_seed(0))
    tasks = tuple(f"task{number}" for number in range(6))
    save_artefact(
        Path("instructions"), Artefact("embedder_direct", weights_hash(model_folder), tasks, {"soft_prompts": prompts}), {}
    )
    finetune.main(**workspace)
    report = read_json(Path("finetune.json"))
    assert report["instructions"] == "embedder_direct"
    assert report["tokens"]["instruction"] == 3 * report["rows"]["training"]


def given(kind: str, model_folder, tensors: dict, settings: dict, tasks=("task0", "task1", "task2")) -> None:
    save_artefact(Path("instructions"), Artefact(kind, weights_hash(model_folder), tasks, tensors, settings), {})


def test_chosen_exemplars_stand_in_the_prompt_as_text(workspace, model_folder):
    finetune.main(**workspace)
    assert read_json(Path("finetune.json"))["tokens"]["examples"] == 0
    ranked = [{"example_id": "other", "input": "A green leaf.", "output": "green", "probability": [1.0]}]
    settings = {"exemplars": 1, "instruction": False, "draw_seed": None, "candidates": dict.fromkeys(SELECTED, ranked)}
    given("extractor_direct", model_folder, {"logits": torch.zeros(4, 1, 1)}, settings, tuple(SELECTED))
    finetune.main(**workspace)
    tokens = read_json(Path("finetune.json"))["tokens"]
    assert tokens["instruction"] == 0
    assert tokens["examples"] > 0
    assert tokens["with_loss"] == tokens["output"]


@pytest.mark.parametrize("convert_by", ["table", "encoder"])
def test_converted_instructions_are_trained_through(workspace, model_folder, convert_by):
    settings = {"source": "instance", "convert_by": convert_by, "soft_tokens": 5, "seed": 0}
    given("embedder_conversion", model_folder, {"weight": torch.eye(32), "bias": torch.ones(32)}, settings, tuple(SELECTED))
    finetune.main(**workspace)
    report = read_json(Path("finetune.json"))
    assert report["tokens"]["instruction"] == 5 * report["rows"]["training"]


def test_learned_weights_say_how_often_a_task_is_drawn(workspace, model_folder, monkeypatch):
    seen, real = [], train.Trainer.__init__

    def spy(self, model, rows, *args, **keywords):
        seen.extend(row.task_id for row in rows)
        real(self, model, rows, *args, **keywords)

    monkeypatch.setattr(train.Trainer, "__init__", spy)
    set_params(validation_share=0.0)
    given("reweight", model_folder, {"logits": torch.zeros(1)}, {"weights": {"task0": 3.0, "task1": 0.0}})
    finetune.main(**workspace)
    counts = [seen.count(name) for name in SELECTED]
    assert counts[1] == 0
    assert counts[2] == pytest.approx(counts[3], abs=1)
    assert counts[0] == pytest.approx(3 * counts[2], abs=3)
