"""What a user can get wrong is said on one screen, with the way out, and leaves no artefact behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch
from optimizing import EXTRACTOR, OPTIMIZE, paths_of, write_params
from safetensors.torch import load_file, save_file

from instune.records import write_examples
from instune.results import write_json
from stages import optimize_instructions
from stages.command import run


@pytest.fixture
def paths(tmp_path, monkeypatch, tiny_pool, model_folder) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    return paths_of(tiny_pool, model_folder)


def refusal(paths: dict[str, Path]) -> str:
    """What the command says as it exits with 1."""
    with pytest.raises(SystemExit) as stop:
        run(optimize_instructions.main, [part for name, path in paths.items() for part in (f"--{name}", str(path))])
    message = str(stop.value.code)
    assert message.startswith("error: ")
    assert len(message.splitlines()) <= 8
    assert max(map(len, message.splitlines())) <= 250
    assert not paths["out"].exists()
    assert not paths["report"].exists()
    return message


def embedder(**changes):
    return {"embedder": OPTIMIZE["embedder"] | changes}


def extractor(**changes):
    return {"extractor": EXTRACTOR | changes}


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("embeder_direct", {}, ["optimize.method: 'embeder_direct'", "'embedder_direct'"]),
        ("embedder_direct", {"solver": "newton"}, ["optimize.solver: 'newton'", "'conjugate_gradient'"]),
        ("embedder_direct", {"inner_optimizer": "rmsprop"}, ["optimize.inner_optimizer: 'rmsprop'", "'sgd'"]),
        ("embedder_direct", {"precision": "float16"}, ["optimize.precision: 'float16'", "'bfloat16'"]),
        ("embedder_direct", {"attention": "flash"}, ["optimize.attention: 'flash'", "'sdpa'"]),
        ("embedder_direct", embedder(initial="zeros"), ["optimize.embedder.initial: 'zeros'", "'definition'"]),
        ("embedder_conversion", embedder(source="web"), ["optimize.embedder.source: 'web'", "'instance'"]),
        ("embedder_conversion", embedder(convert_by="llm"), ["optimize.embedder.convert_by: 'llm'", "'encoder'"]),
        ("extractor_direct", extractor(choice="firm"), ["optimize.extractor.choice: 'firm'", "'soft'"]),
        ("extractor_direct", extractor(choose="best"), ["optimize.extractor.choose: 'best'", "'random'"]),
    ],
)
def test_an_unknown_name_is_shown_with_those_there_are(paths, method, changes, words):
    write_params(method, **changes)
    message = refusal(paths)
    assert all(word in message for word in words)


def test_a_single_source_task_has_nothing_to_hold_out(paths):
    write_params("embedder_conversion")
    write_json(paths["selection"], {"selected": ["task0"]})
    message = refusal(paths)
    assert "need at least 2 selected tasks" in message
    assert "set optimize.method: human" in message


@pytest.mark.parametrize("soft_tokens", [118, 5000])
@pytest.mark.parametrize("method", ["embedder_direct", "reweight"])
def test_a_soft_prompt_longer_than_a_row_is_refused_where_there_is_one(paths, method, soft_tokens):
    write_params(method, **embedder(soft_tokens=soft_tokens), outer_steps=1)
    if method == "reweight":
        optimize_instructions.main(**paths)
        return
    message = refusal(paths)
    assert "no batch of 2 examples fits" in message
    assert "optimize.embedder.soft_tokens" in message


def test_a_meta_test_task_of_which_no_instance_fits_is_named(paths, tiny_pool):
    write_params("embedder_direct")
    write_json(paths["selection"], {"selected": ["task0", "task1"]})
    long = [replace(row, references=("red " * 400,)) if row.task_id == "task0" else row for row in tiny_pool[1]]
    write_examples(paths["examples"], long)
    message = refusal(paths)
    assert "from tasks task0 (" in message
    assert "Raise prompt.max_tokens" in message


def test_tasks_of_which_too_few_have_instances_are_refused(paths, tiny_pool):
    write_params("embedder_direct")
    write_examples(paths["examples"], [row for row in tiny_pool[1] if row.task_id == "task0"])
    assert "need at least 2 selected tasks with examples, and there are 1" in refusal(paths)


@pytest.mark.parametrize("solver", ["neumann", "identity", "conjugate_gradient", "unrolled"])
def test_a_model_that_inner_steps_have_blown_up_stops_with_the_way_out(paths, solver):
    settings = {"damping": 1e4} if solver == "conjugate_gradient" else {}
    write_params("embedder_direct", solver=solver, outer_steps=3, inner_learning_rate=1e30, **settings)
    message = refusal(paths)
    assert "not finite" in message
    assert "optimize.inner_learning_rate" in message


@pytest.mark.parametrize("product", ["central_difference", "double_backward"])
def test_weights_that_are_no_numbers_stop_every_product_at_once(paths, model_folder, product):
    paths["model"] = copytree(model_folder, Path("broken"))
    file = next(paths["model"].glob("*.safetensors"))
    weights = load_file(file)
    name = next(name for name in sorted(weights) if "mlp" in name)
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, file, metadata={"format": "pt"})
    write_params("embedder_direct", product=product, difference_step="auto")
    assert "not finite" in refusal(paths)


def test_a_gamma_far_too_large_is_refused_with_one_that_fits(paths):
    write_params("embedder_direct", gamma=1e6)
    message = refusal(paths)
    assert "diverges" in message
    assert "Set optimize.gamma: auto, or at most" in message
