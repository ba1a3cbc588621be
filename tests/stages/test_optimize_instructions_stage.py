"""The stage as DVC runs it: human and learned artefacts, same bytes twice, refusals that leave nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optimizing import EXTRACTOR, OPTIMIZE, content, paths_of, write_params
from ruamel.yaml import YAML

from instune.bilevel.applied import applied
from instune.bilevel.artefact import load_artefact
from instune.errors import InputError
from instune.models import weights_hash
from instune.records import write_tasks
from instune.report.tables import folds
from instune.results import read_json, write_json
from stages import optimize_instructions


@pytest.fixture
def paths(tmp_path, monkeypatch, tiny_pool, model_folder) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    return paths_of(tiny_pool, model_folder)


def test_human_writes_the_neutral_artefact(paths, capsys):
    write_params("human")
    optimize_instructions.main(**paths)
    assert load_artefact(paths["out"]).kind == "human"
    report = read_json(paths["report"])
    assert report == {"method": "human", "optimized": [], "human": [f"task{number}" for number in range(6)]}
    assert content(paths["curves"]) == {"reports/curves/optimize/plots/metrics/outer_loss.tsv": b"step\touter_loss\n0\t\n"}
    assert "human instructions for 6 tasks" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "identity"},
        {"solver": "identity", "inner_optimizer": "adam", "inner_learning_rate": 1e-3},
        {"solver": "conjugate_gradient", "terms": 3, "damping": 500.0},
        {"solver": "unrolled", "terms": 2, "gamma": 0.05},
    ],
    ids=["identity", "SAMA", "conjugate_gradient", "unrolled"],
)
def test_every_solver_moves_the_prompts(paths, changes):
    write_params("embedder_direct", **changes)
    optimize_instructions.main(**paths)
    found = load_artefact(paths["out"]).tensors["soft_prompts"]
    write_params("embedder_direct", **changes, outer_learning_rate=1e-12)
    optimize_instructions.main(**paths)
    start = load_artefact(paths["out"]).tensors["soft_prompts"]
    assert torch.isfinite(found).all()
    assert (found - start).abs().max() > 1e-3


def test_embedder_gives_every_selected_task_with_examples_its_prompt_and_names_the_others(paths):
    write_params("embedder_direct")
    optimize_instructions.main(**paths)
    artefact = load_artefact(paths["out"])
    assert artefact.base_model_hash == weights_hash(paths["model"])
    assert artefact.task_ids == ("task0", "task1", "task2", "task3", "task4")
    assert artefact.tensors["soft_prompts"].shape == (5, 3, 32)
    report = read_json(paths["report"])
    assert report["human"] == ["task5"]
    for fold in report["folds"]:
        assert not set(fold["meta_train"]) & set(fold["meta_test"])
    assert sorted(task for fold in report["folds"] for task in fold["meta_test"]) == list(artefact.task_ids)
    facts = read_json(paths["out"] / "instructions.json")
    assert [len(tokens) for tokens in facts["nearest_tokens"].values()] == [3] * 5
    assert set(facts["diversity"]) == {"human", "learned"}
    names = sorted(file.name for file in paths["curves"].rglob("*") if file.is_file())
    assert len(names) == 14
    assert all(name.endswith(".tsv") for name in names)
    assert not list(Path(".scratch/optimize_instructions").iterdir())


def test_equal_inputs_give_equal_bytes_and_another_seed_other_prompts(paths):
    write_params("embedder_direct")
    outputs = [paths["out"], paths["report"], paths["curves"]]
    optimize_instructions.main(**paths)
    first, prompts = content(*outputs), load_artefact(paths["out"]).tensors["soft_prompts"]
    optimize_instructions.main(**paths)
    assert content(*outputs) == first
    params = YAML().load(Path("params.yaml"))
    params["seed"] = 1
    YAML().dump(params, Path("params.yaml"))
    optimize_instructions.main(**paths)
    assert not torch.equal(load_artefact(paths["out"]).tensors["soft_prompts"], prompts)


@pytest.mark.parametrize(
    "changes", [{"product": "double_backward"}, {"lora": {"rank": 2, "alpha": 4.0}}, {"inner_optimizer": "adam"}]
)
def test_other_products_adapters_and_inner_optimizers_run(paths, changes):
    write_params("embedder_direct", **changes)
    optimize_instructions.main(**paths)
    assert load_artefact(paths["out"]).kind == "embedder_direct"


def test_checkpointed_layers_give_the_same_prompts(paths, monkeypatch):
    found, calls = [], []
    real = optimize_instructions.recompute_activations
    monkeypatch.setattr(optimize_instructions, "recompute_activations", lambda model: calls.append(1) or real(model))
    for checkpointed in (False, True):
        write_params("embedder_direct", gradient_checkpointing=checkpointed)
        optimize_instructions.main(**paths)
        found.append(load_artefact(paths["out"]).tensors["soft_prompts"])
    assert len(calls) == 2  # a model per fold
    assert torch.allclose(*found, atol=1e-5)


def test_the_run_says_at_its_start_how_exact_its_hypergradients_are_beside_the_noise_of_batches(paths, capsys):
    write_params("embedder_direct", checked_batches=2)
    optimize_instructions.main(**paths)
    first, second = (fold.get("agreement") for fold in read_json(paths["report"])["folds"])
    assert second is None
    assert first["cosine"] > 0.99
    assert first["norm_ratio"] == pytest.approx(1.0, abs=0.02)
    assert -1 <= first["cosine_of_two_batches"] <= 1
    assert "fold0: hypergradient against float32 double backward: cosine" in "".join(capsys.readouterr())


def test_outer_validation_keeps_the_best_and_reports_tasks_that_no_level_trained_on(paths):
    write_params("embedder_direct", folds=3, outer_steps=4, validation={"rows": 4, "every": 1, "patience": 9})
    optimize_instructions.main(**paths)
    report = read_json(paths["report"])
    assert load_artefact(paths["out"]).task_ids == ("task0", "task1", "task2", "task3", "task4")
    for fold in report["folds"]:
        parts = [set(fold[name]) for name in ("meta_train", "meta_test", "validation_tasks")]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 5
        assert fold["validation"]["best"] <= min(fold["validation"]["first"], fold["validation"]["last"])
    write_params("embedder_direct", validation={"rows": 4, "every": 1, "patience": 9})
    with pytest.raises(InputError, match=r"optimize\.validation: needs 3 folds"):
        optimize_instructions.main(**paths)


def test_an_unknown_method_is_refused_with_the_names_there_are(paths):
    write_params("embedder")
    with pytest.raises(InputError, match=r"optimize\.method: 'embedder' is not allowed.*'human', 'embedder_direct'"):
        optimize_instructions.main(**paths)


def test_the_extractor_names_the_chosen_exemplars_of_every_task_with_their_probabilities(paths):
    write_params("extractor_direct")
    optimize_instructions.main(**paths)
    artefact = load_artefact(paths["out"])
    assert artefact.tensors["logits"].shape == (5, 1, 4)
    for task_id, ranked in artefact.settings["candidates"].items():
        assert len(ranked) == 4
        assert sum(one["probability"][0] for one in ranked) == pytest.approx(1.0, abs=1e-5)
        assert ranked[0]["probability"][0] == max(one["probability"][0] for one in ranked)
        assert {one["example_id"].split("-")[0] for one in ranked} == {task_id}


@pytest.mark.parametrize(("choose", "different"), [("fixed", 2), ("random", 3)])
def test_fixed_and_random_exemplars_come_from_the_same_code_without_learning(paths, tiny_pool, choose, different):
    write_params("extractor_direct", extractor=EXTRACTOR | {"choose": choose})
    optimize_instructions.main(**paths)
    use = applied(load_artefact(paths["out"]), lambda: None)
    tasks, examples = tiny_pool
    rows = [use.show(tasks["task0"], row) for row in examples if row.task_id == "task0"]
    assert all(row.wording and len(row.exemplars) == 1 for row in rows)
    found = {row.exemplars for row in rows}
    assert len(found) == different if choose == "fixed" else len(found) >= different  # a row of the fixed one takes the next
    assert folds(read_json(paths["report"])) == []  # the page has no table of folds then
    assert not list(Path(".scratch").rglob("*.pt"))


def test_no_instruction_at_all_is_a_baseline_too(paths, tiny_pool):
    write_params("extractor_direct", extractor=EXTRACTOR | {"choose": "fixed", "exemplars": 0, "instruction": False})
    optimize_instructions.main(**paths)
    shown = applied(load_artefact(paths["out"]), lambda: None).show(tiny_pool[0]["task0"], tiny_pool[1][0])
    assert (shown.wording, shown.exemplars) == (False, ())
    assert set(read_json(paths["report"])["diversity"]) == {"human"}


def test_learning_no_exemplars_is_refused(paths):
    write_params("extractor_direct", extractor=EXTRACTOR | {"exemplars": 0})
    with pytest.raises(InputError, match=r"optimize\.extractor.*exemplars: 0 is not allowed"):
        optimize_instructions.main(**paths)


@pytest.mark.parametrize(
    ("method", "convert_by"),
    [("embedder_conversion", "table"), ("embedder_conversion", "encoder"), ("extractor_conversion", "table")],
)
def test_conversion_learns_in_one_fold_and_covers_every_task(paths, method, convert_by):
    write_params(method, embedder=OPTIMIZE["embedder"] | {"convert_by": convert_by})
    optimize_instructions.main(**paths)
    artefact, report = load_artefact(paths["out"]), read_json(paths["report"])
    assert artefact.task_ids == ("task0", "task1", "task2", "task3", "task4")
    assert len(report["folds"]) == 1
    assert set(report["diversity"]) == {"human", "learned"}
    before = {"weight": torch.eye(32), "bias": torch.zeros(32), "bilinear": torch.zeros(1, 32, 32)}
    assert all(not torch.equal(tensor, before[name]) for name, tensor in artefact.tensors.items())


def test_reweight_gives_every_task_a_weight_of_mean_one(paths):
    write_params("reweight")
    optimize_instructions.main(**paths)
    artefact = load_artefact(paths["out"])
    weights = artefact.settings["weights"]
    assert set(weights) == set(artefact.task_ids) == {f"task{number}" for number in range(5)}
    assert sum(weights.values()) == pytest.approx(5.0)
    assert len(set(weights.values())) > 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("folds", 1),
        ("gamma", "large"),
        ("product", "magic"),
        ("outer_steps", 0),
        ("term", 1),
        ("solver", "newton"),
        ("validation", {"rows": 4}),
    ],
)
def test_bad_parameters_are_named(paths, key, value):
    write_params("embedder_direct", **{key: value})
    with pytest.raises(InputError, match=rf"optimize\.{key}"):
        optimize_instructions.main(**paths)


def test_a_single_selected_task_is_refused(paths):
    write_params("embedder_direct")
    write_json(paths["selection"], {"selected": ["task0"]})
    with pytest.raises(InputError, match="folds need at least 2 selected tasks"):
        optimize_instructions.main(**paths)
    assert not paths["out"].exists()


def test_tasks_without_a_definition_stay_human(paths, tiny_pool):
    write_params("embedder_direct", outer_steps=1)
    tasks, _ = tiny_pool
    write_tasks(paths["tasks"], [replace(task, definition="") if task.task_id == "task2" else task for task in tasks.values()])
    optimize_instructions.main(**paths)
    assert load_artefact(paths["out"]).task_ids == ("task0", "task1", "task3", "task4")
    assert read_json(paths["report"])["human"] == ["task2", "task5"]


def test_rows_beyond_the_models_context_are_refused(paths):
    write_params("embedder_direct")
    params = YAML().load(Path("params.yaml"))
    params["prompt"]["max_tokens"] = 2049
    YAML().dump(params, Path("params.yaml"))
    with pytest.raises(InputError, match="at most 2048"):
        optimize_instructions.main(**paths)
    assert not paths["out"].exists()
