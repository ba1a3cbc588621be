"""Facts about the artefact between optimize_instructions and finetune."""

from __future__ import annotations

import pytest
import torch

from instune.bilevel.artefact import Artefact, load_artefact, save_artefact
from instune.errors import InputError
from instune.results import read_json, write_json


@pytest.fixture
def learned() -> Artefact:
    return Artefact(
        "embedder_direct", "abc", ("t1", "t2"), {"soft_prompts": torch.arange(24.0).view(2, 3, 4)}, {"soft_tokens": 3}
    )


def test_soft_prompts_come_back_bit_for_bit_and_json_says_what_they_are(tmp_path, learned):
    save_artefact(tmp_path / "instructions", learned, {"diversity": {"human": 0.5}})
    back = load_artefact(tmp_path / "instructions")
    assert (back.kind, back.base_model_hash, back.task_ids) == ("embedder_direct", "abc", ("t1", "t2"))
    assert torch.equal(back.tensors["soft_prompts"], learned.tensors["soft_prompts"])
    facts = read_json(tmp_path / "instructions" / "instructions.json")
    assert facts == {
        "kind": "embedder_direct",
        "base_model": "abc",
        "tasks": ["t1", "t2"],
        "settings": {"soft_tokens": 3},
        "learned": True,
        "diversity": {"human": 0.5},
    }


def test_human_artefact_replaces_nothing_and_fits_every_model(tmp_path):
    save_artefact(tmp_path / "instructions", Artefact("human", "abc"), {})
    back = load_artefact(tmp_path / "instructions")
    assert (back.tensors, back.settings, back.task_ids) == ({}, {}, ())
    assert back.human_tasks(["t1", "t2"]) == ["t1", "t2"]
    back.check_base_model("another")


def test_human_artefact_over_a_learned_one_leaves_no_tensor_behind(tmp_path, learned):
    save_artefact(tmp_path / "instructions", learned, {})
    save_artefact(tmp_path / "instructions", Artefact("human", "abc"), {})
    assert [file.name for file in (tmp_path / "instructions").iterdir()] == ["instructions.json"]


def test_a_task_outside_the_artefact_stays_human(learned):
    assert learned.human_tasks(["t3", "t1", "t4"]) == ["t3", "t4"]


def test_another_base_model_is_refused_by_name(learned):
    learned.check_base_model("abc")
    with pytest.raises(InputError, match=r"base model abc.*now is xyz.*optimize_instructions again"):
        learned.check_base_model("xyz")


def test_missing_or_inconsistent_artefact_is_refused(tmp_path, learned):
    with pytest.raises(InputError, match=r"holds no instructions\.json"):
        load_artefact(tmp_path)
    save_artefact(tmp_path / "one", learned, {})
    (tmp_path / "one" / "parameters.safetensors").unlink()
    with pytest.raises(InputError, match="no parameters"):
        load_artefact(tmp_path / "one")
    save_artefact(tmp_path / "two", Artefact("embedder_direct", "abc", ("t1",), learned.tensors), {})
    with pytest.raises(InputError, match="does not fit 1 tasks"):
        load_artefact(tmp_path / "two")
    write_json(tmp_path / "three" / "instructions.json", {"kind": "oracle", "base_model": "abc", "tasks": []})
    with pytest.raises(InputError, match=r"'oracle' is not known\. There are: human, embedder_direct"):
        load_artefact(tmp_path / "three")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("reweight", {"weights": {"t1": "much"}}, r"settings\.weights\.t1: 'much'"),
        ("reweight", {}, r"settings\.weights: missing"),
        ("extractor_direct", {"candidates": {"t1": [{"input": "a"}]}}, r"candidates\.t1\.0\.output: missing"),
        (
            "extractor_conversion",
            {"candidates": {}, "exemplars": 1, "instruction": True, "draw_seed": None, "chosen": {"t1": {"e": [4]}}},
            "names candidate 4 of task t1",
        ),
        (
            "embedder_conversion",
            {"source": "definition", "convert_by": "table", "soft_tokens": 1, "seed": 0, "seeds": 0},
            r"settings\.seeds: unknown key",
        ),
        ("embedder_conversion", {"source": "moon"}, r"settings\.source: 'moon'"),
    ],
)
def test_settings_that_do_not_fit_their_kind_are_refused_by_key(tmp_path, kind, settings, message):
    save_artefact(tmp_path / "a", Artefact(kind, "abc", ("t1",), {}, settings), {})
    with pytest.raises(InputError, match=message):
        load_artefact(tmp_path / "a")


def test_tensors_that_are_cut_missing_or_no_numbers_are_refused(tmp_path, learned):
    folder = tmp_path / "a"
    save_artefact(folder, learned, {})
    path = folder / "parameters.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"parameters\.safetensors: cannot be read"):
        load_artefact(folder)
    for tensors, message in (
        ({"other": torch.zeros(2)}, "needs soft_prompts"),
        ({"soft_prompts": torch.full((len(learned.task_ids), 2, 4), torch.nan)}, "finite numbers"),
    ):
        save_artefact(folder, Artefact("embedder_direct", "abc", learned.task_ids, tensors), {})
        with pytest.raises(InputError, match=message):
            load_artefact(folder)
