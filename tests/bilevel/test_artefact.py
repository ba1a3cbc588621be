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
