"""Device, precision, and models from a folder, a reference, or nowhere."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, T5Config, T5ForConditionalGeneration

from instune import models
from instune.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("reported", "device"), [(True, "cuda"), (False, "cpu")])
def test_the_device_is_cuda_exactly_where_it_is_reported(monkeypatch, reported, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: reported)
    assert models.pick_device().type == device


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_runs_in_bfloat16_only_where_it_is_native(monkeypatch, native, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert models.autocast_dtype(CUDA) is dtype
    assert models.autocast_dtype(CUDA, "float32") is torch.float32
    assert models.autocast_dtype(CUDA, "bfloat16") is torch.bfloat16


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_runs_in_bfloat16_only_where_it_is_native(monkeypatch, native, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert models.autocast_dtype(CPU) is dtype


def test_autocast_is_off_in_float32_and_on_in_bfloat16():
    matrix = torch.ones(2, 2)
    with models.autocast(CPU, "float32"):
        assert (matrix @ matrix).dtype is torch.float32
    with models.autocast(CPU, "bfloat16"):
        assert (matrix @ matrix).dtype is torch.bfloat16


def test_a_saved_model_loads_with_template_terminator_and_the_same_weights(model_folder):
    model, tokenizer = models.load_model(model_folder), models.load_tokenizer(model_folder)
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    plain = AutoModelForCausalLM.from_pretrained(model_folder)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), plain.parameters(), strict=True))
    assert AutoTokenizer.from_pretrained(model_folder)("a")["input_ids"] == tokenizer("a")["input_ids"]


def test_a_reference_loads_what_it_points_at(model_folder, tmp_path):
    models.write_reference(tmp_path, str(model_folder), None)
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]
    assert models.load_config(tmp_path).model_type == "llama"
    assert len(models.load_tokenizer(tmp_path)) == len(models.load_tokenizer(model_folder))


def test_a_seq2seq_model_is_recognized_by_its_configuration(tmp_path):
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    assert models.load_model(tmp_path, device=CPU).config.is_encoder_decoder


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model configuration can be read.*\n.*config\.json"):
        models.load_model(tmp_path)
    with pytest.raises(InputError, match="neither safetensors"):
        models.weights_hash(tmp_path)


def test_the_hash_follows_the_weights(model_folder, tmp_path):
    before = models.weights_hash(model_folder)
    model = models.load_model(model_folder)
    model.save_pretrained(tmp_path)
    assert models.weights_hash(tmp_path) == before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    model.save_pretrained(tmp_path)
    assert models.weights_hash(tmp_path) != before
