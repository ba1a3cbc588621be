"""The model that was trained along with the instructions, handed over to finetune."""

from __future__ import annotations

from pathlib import Path

import finetuning
import optimizing
import pytest
import torch

from instune.bilevel import material
from instune.bilevel.artefact import handed_over, load_artefact
from instune.bilevel.loop import Fold
from instune.errors import InputError
from instune.models import load_model, weights_hash
from instune.results import read_json
from stages import finetune, optimize_instructions


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder).state_dict()


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4.0}], ids=["all weights", "adapters"])
def test_it_is_the_loops_last_theta_also_of_a_run_that_was_killed_behind_it(tmp_path, monkeypatch, tiny_pool, model_folder, lora):
    monkeypatch.chdir(tmp_path)
    paths, seen, real = optimizing.paths_of(tiny_pool, model_folder), [], Fold.optimize
    optimizing.write_params("embedder_conversion", keep_model=True, lora=lora)

    def spy(self, *args, **keywords):
        real(self, *args, **keywords)
        seen.append([tensor.detach().clone() for tensor in self.theta])
        raise KeyboardInterrupt

    monkeypatch.setattr(Fold, "optimize", spy)
    with pytest.raises(KeyboardInterrupt):
        optimize_instructions.main(**paths)
    monkeypatch.setattr(Fold, "optimize", real)
    optimize_instructions.main(**paths)
    base, kept = weights(model_folder), weights(handed_over(paths["out"]))
    assert any(not torch.equal(base[name], kept[name]) for name in base)
    if lora is None:
        names = [name for name, _ in load_model(model_folder).named_parameters()]
        assert all(torch.equal(kept[name], tensor) for name, tensor in zip(names, seen[0], strict=True))
    assert load_artefact(paths["out"]).base_model_hash == weights_hash(model_folder)


def test_finetune_starts_from_it_and_converts_by_the_base_models_table(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    paths = optimizing.paths_of(tiny_pool, model_folder)
    workspace, tuned, tables, made = finetuning.workspace_of(tiny_pool, model_folder), {}, [], material.Material
    monkeypatch.setattr(material, "Material", lambda *known, **rest: tables.append(known[3]) or made(*known, **rest))
    for kept in (False, True):
        optimizing.write_params("embedder_conversion", keep_model=kept, inner_learning_rate=0.5)
        optimize_instructions.main(**paths)
        assert (handed_over(paths["out"]) is not None) == kept
        finetuning.set_params(learning_rate=1e-12)
        finetune.main(**workspace | {"instructions": paths["out"]})
        tuned[kept], start = weights(Path("tuned")), read_json(Path("finetune.json"))["start"]
        assert start == ("optimize_instructions" if kept else "base")
    base, loop = weights(model_folder), weights(handed_over(paths["out"]))
    assert len(tables) == 4  # of either stage, twice
    assert all(torch.equal(table, base["model.embed_tokens.weight"]) for table in tables)
    assert all(torch.allclose(tuned[False][name], base[name], atol=1e-6) for name in base)
    assert all(torch.allclose(tuned[True][name], loop[name], atol=1e-6) for name in base)
    assert any(not torch.allclose(loop[name], base[name], atol=1e-4) for name in base)


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        ("human", {}, "no model is trained"),
        ("extractor_conversion", {"extractor": optimizing.EXTRACTOR | {"choose": "fixed"}}, "no model is trained"),
        ("embedder_direct", {}, "there is a model per fold with embedder_direct"),
        ("reweight", {}, "there is a model per fold with reweight"),
    ],
)
def test_without_one_trained_model_there_is_none_to_keep(tmp_path, monkeypatch, tiny_pool, model_folder, method, changes, reason):
    monkeypatch.chdir(tmp_path)
    paths = optimizing.paths_of(tiny_pool, model_folder)
    optimizing.write_params(method, keep_model=True, **changes)
    with pytest.raises(InputError, match=f"optimize.*keep_model: true is not allowed here: {reason}"):
        optimize_instructions.main(**paths)
    assert not paths["out"].exists()
