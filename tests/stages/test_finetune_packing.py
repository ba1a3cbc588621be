"""The finetune stage packs or pads by its parameter with one result, and refuses to pack what cannot be packed."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetuning import PARAMS, set_params, workspace_of
from ruamel.yaml import YAML
from safetensors.torch import load_file
from transformers import T5Config, T5ForConditionalGeneration

from instune.bilevel.artefact import Artefact, save_artefact
from instune.errors import InputError
from instune.models import save, weights_hash
from instune.results import read_json
from stages import finetune


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_pool, model_folder):
    """A folder with everything that the stage reads; returns its keyword arguments."""
    monkeypatch.chdir(tmp_path)
    return workspace_of(tiny_pool, model_folder)


def test_packed_and_padded_runs_end_with_one_model_that_names_no_attention_of_ours(workspace):
    found = {}
    for packing in (True, False):
        set_params(packing=packing, learning_rate=1e-4, max_tokens=500)
        finetune.main(**workspace)
        found[packing] = load_file("tuned/model.safetensors"), read_json(Path("finetune.json"))["validation_nll"]["after"]
        assert "attn_implementation" not in Path("tuned/config.json").read_text()
    assert found[True][1] == pytest.approx(found[False][1], rel=1e-5)
    for name, tensor in found[True][0].items():
        assert (tensor - found[False][0][name]).abs().max() < 1e-5, name


def test_an_encoder_decoder_model_is_padded_and_its_packing_refused(workspace, tokenizer, tmp_path):
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, **sizes)
    save(T5ForConditionalGeneration(config), tokenizer, tmp_path / "t5")
    paths = workspace_of_model(workspace, tmp_path / "t5")
    for packing in (True, False):
        changes = {"packing": packing, "max_tokens": 300, "neftune_alpha": 5.0, "kl_weight": 0.5}
        with Path("params.yaml").open("w") as file:
            prompt = PARAMS["prompt"] | {"template": "plain"}
            YAML().dump(PARAMS | {"prompt": prompt, "finetune": PARAMS["finetune"] | changes}, file)
        if packing:
            with pytest.raises(InputError, match=r"finetune\.packing: true needs a causal model"):
                finetune.main(**paths)
            assert not Path("tuned").exists()
        else:
            finetune.main(**paths)
    assert Path("tuned/model.safetensors").exists()


def workspace_of_model(workspace, folder: Path):
    """The same workspace on another model, human instructions."""
    save_artefact(Path("instructions_t5"), Artefact("human", weights_hash(folder)), {})
    return workspace | {"model": folder, "instructions": Path("instructions_t5")}
