"""Device, precision, and models from a folder, a reference, or nowhere."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from instune import model_checks, models
from instune.errors import InputError
from instune.models import load_model, load_tokenizer, save
from instune.results import read_json, write_json

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def small_t5():
    return T5ForConditionalGeneration(T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))


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


def test_generation_stops_at_the_terminator_too(model_folder, tmp_path):
    model, tokenizer = models.load_model(model_folder), models.load_tokenizer(model_folder)
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    models.save(model, tokenizer, tmp_path, terminator="<|im_end|>")
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == end
    models.save(model, tokenizer, tmp_path, terminator="<|im_start|>")
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == sorted([start, end])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (LlamaConfig(max_position_embeddings=64), "max_position_embeddings"),
        (GPT2Config(n_positions=64), "n_positions"),
        (T5Config(n_positions=64), None),  # relative positions: no limit
    ],
)
def test_a_row_longer_than_the_models_context_is_refused(config, key):
    model_checks.check_positions(config, 64)
    if key is None:
        model_checks.check_positions(config, 65)
        return
    with pytest.raises(InputError, match=rf"prompt\.max_tokens: 65 .* {key} is 64\. Set prompt\.max_tokens to at most 64"):
        model_checks.check_positions(config, 65)


def test_a_reference_whose_weights_changed_is_refused(model_folder, tmp_path):
    copy, folder = tmp_path / "copy", tmp_path / "base"
    shutil.copytree(model_folder, copy)
    models.write_reference(folder, str(copy), None)
    model = models.load_model(folder, device=CPU)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    model.save_pretrained(copy)
    with pytest.raises(InputError, match=r"the weights changed since base_model ran\. Run `dvc repro -f base_model`\."):
        models.load_model(folder, device=CPU)


def test_decoder_start_is_found_in_either_configuration_or_missed_in_words(tiny_model):
    model = small_t5()
    model.config.decoder_start_token_id = 3
    assert model_checks.decoder_start(model) == 3
    model.config.decoder_start_token_id, model.generation_config.decoder_start_token_id = None, 0
    assert model_checks.decoder_start(model) == 0
    model.generation_config.decoder_start_token_id = None
    with pytest.raises(InputError, match="decoder_start_token_id"):
        model_checks.decoder_start(model)
    assert model_checks.decoder_start(tiny_model) is None


def test_weights_other_than_safetensors_are_refused_in_one_message(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "copy" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no safetensors weights can be read"):
        models.load_model(tmp_path / "copy", device=CPU)


def test_a_tokenizer_with_more_ids_than_the_model_has_embeddings_is_refused(tmp_path, tiny_model, tokenizer):
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["<new>"])
    save(tiny_model, larger, tmp_path)
    with pytest.raises(InputError, match=r"token '<new>' has id \d+, and the model has \d+ embeddings"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("tokenizer_config.json", {"model_max_length": "long"}, "model_max_length: 'long'"),
        ("tokenizer_config.json", {"eos_token": None, "pad_token": None}, "neither eos_token nor pad_token"),
        ("tokenizer_config.json", {"pad_token": 1.5}, "no tokenizer can be read"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}, "merges": 3}}, "no tokenizer can be read"),
        ("config.json", {"hidden_act": None}, "no model configuration can be read"),
        ("config.json", {"__class__": None}, "no model configuration can be read"),
    ],
)
def test_broken_settings_of_a_model_are_one_message(tmp_path, tiny_model, tokenizer, file, change, message):
    save(tiny_model, tokenizer, tmp_path)
    write_json(tmp_path / file, read_json(tmp_path / file) | change)
    with pytest.raises(InputError, match=message):
        load_tokenizer(tmp_path)


def test_weights_that_are_cut_or_of_another_size_are_one_message(tmp_path, tiny_model, tokenizer):
    save(tiny_model, tokenizer, tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="no safetensors weights can be read"):
        load_model(tmp_path)
    path.write_bytes(whole)
    config = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", config | {"intermediate_size": 2 * config["intermediate_size"]})
    with pytest.raises(InputError, match="no safetensors weights can be read"):
        load_model(tmp_path)


def test_weights_that_lack_layers_of_the_configuration_are_refused_and_never_random(model_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(model_folder, folder)
    write_json(folder / "config.json", read_json(folder / "config.json") | {"num_hidden_layers": 3})
    with pytest.raises(InputError, match=r"the weights lack 9 tensors .* as 'model\.layers\.2\.\S+'; they would be random"):
        load_model(folder)


def test_a_folder_with_a_slipped_finger_in_its_number_of_layers_is_refused_before_it_is_built(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    write_json(path, read_json(path) | {"num_hidden_layers": 20_000})
    with pytest.raises(InputError, match=r"copy: config\.json: num_hidden_layers: 20000 is no number of layers"):
        models.load_config(tmp_path / "copy")


@pytest.mark.parametrize("ids", [[[1], 2], "2", 10**25, [1, -(2**63)]])
def test_ends_of_generation_that_are_no_token_ids_are_refused(tmp_path, tiny_model, tokenizer, ids):
    save(tiny_model, tokenizer, tmp_path)
    path = tmp_path / "generation_config.json"
    write_json(path, read_json(path) | {"eos_token_id": ids})
    with pytest.raises(InputError, match=r"eos_token_id: .* is no token id and no list of them\. Mend it"):
        load_model(tmp_path)


@pytest.mark.parametrize("ids", [None, 1, [1, 10**6]])
def test_no_end_and_one_beyond_the_vocabulary_pass(tmp_path, tiny_model, tokenizer, ids):
    save(tiny_model, tokenizer, tmp_path)
    path = tmp_path / "generation_config.json"
    write_json(path, read_json(path) | {"eos_token_id": ids})
    assert load_model(tmp_path).generation_config.eos_token_id == ids


@pytest.mark.parametrize(("token", "refused"), [(0, False), (63, False), (64, True), (-1, True), (10**25, True), (True, True)])
@pytest.mark.parametrize("file", ["config", "generation_config"])
def test_what_a_decoder_reads_first_needs_an_embedding(file, token, refused):
    model = small_t5()
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = 0
    getattr(model, file).decoder_start_token_id = token
    if not refused:
        return model_checks.check_generation("m", model)
    with pytest.raises(InputError, match=rf"m: decoder_start_token_id: {token} is no token id; the model has 64 embeddings"):
        model_checks.check_generation("m", model)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_decoder_starts_alike_in_likelihoods_and_generation_where_one_file_does_not_say(tmp_path, tokenizer, file):
    model = small_t5()
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = 3
    save(model, tokenizer, tmp_path)
    content = read_json(tmp_path / file)
    del content["decoder_start_token_id"]
    write_json(tmp_path / file, content)
    loaded = load_model(tmp_path)
    assert loaded.config.decoder_start_token_id == loaded.generation_config.decoder_start_token_id == 3


@pytest.mark.parametrize("layers", [10_001, 10**600, -1])
def test_a_model_of_absurdly_many_layers_is_refused_before_it_is_built(layers):
    config = T5Config()
    config.num_decoder_layers = layers
    with pytest.raises(InputError, match=r"m: config\.json: num_decoder_layers: .* is no number of layers up to 10000"):
        model_checks.check_config("m", config)


@pytest.mark.parametrize(
    ("change", "key"), [({"d_ff": 10**300}, "d_ff"), ({"task_specific_params": {"a": [1, 2**70]}}, r"task_specific_params\.a\.1")]
)
def test_numbers_that_no_tensor_holds_are_named(change, key):
    config = T5Config()
    for name, value in change.items():
        setattr(config, name, value)
    with pytest.raises(InputError, match=rf"m: config\.json: '{key}' is a number that no model computes with"):
        model_checks.check_config("m", config)
    model_checks.check_config("m", T5Config())


@pytest.mark.parametrize("share", [1.5, -0.1, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(share):
    config = T5Config()
    config.dropout_rate = share
    with pytest.raises(InputError, match=r"m: config\.json: dropout_rate: \S+ is no probability"):
        model_checks.check_config("m", config)


def test_an_architecture_without_sdpa_is_loaded_with_the_attention_that_it_has(tokenizer, model_folder, tmp_path):
    save(BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), hidden_size=16, n_layer=1, n_head=2)), tokenizer, tmp_path)
    assert load_model(tmp_path, device=CPU, attention="sdpa").config._attn_implementation == "eager"
    assert load_model(model_folder, device=CPU).config._attn_implementation == "sdpa"
    assert load_model(model_folder, device=CPU, attention="eager").config._attn_implementation == "eager"
