import os
import shutil
import socket
from types import SimpleNamespace

import pytest
from encoders import save_encoder
from safetensors.torch import load_file, save_file

from instune import revisions
from instune.errors import InputError
from instune.results import read_json, write_json
from instune.selection import encoder as encoder_module
from instune.selection.encoder import PACKAGED, REFERENCE, files_hash, load, locate, resolve, write_reference

(MINILM,) = PACKAGED


@pytest.fixture
def local(tmp_path):
    """The packaged encoder in a folder of the user's, its large file linked."""
    folder = tmp_path / "encoder"
    shutil.copytree(locate(MINILM, None), folder, copy_function=os.symlink)
    return folder


def test_the_reference_to_a_packaged_encoder_names_no_place(tmp_path):
    write_reference(tmp_path / "selector", MINILM, None)
    content = read_json(tmp_path / "selector" / REFERENCE)
    assert content == {"encoder": MINILM, "revision": None, "files": files_hash(locate(MINILM, None))}
    assert resolve(tmp_path / "selector") == (locate(MINILM, None), content["files"])


def test_the_hash_follows_names_and_contents(local):
    before = files_hash(local)
    assert before == files_hash(locate(MINILM, None))
    (local / "README.md").unlink()
    assert files_hash(local) == before
    pooling = local / "1_Pooling" / "config.json"
    text = pooling.read_text()
    pooling.unlink()
    pooling.write_text(text.replace("true", "false", 1))
    assert files_hash(local) != before


def test_files_changed_since_align_are_noticed(tmp_path, local):
    write_reference(tmp_path / "selector", str(local), None)
    (local / "vocab.txt").unlink()
    with pytest.raises(InputError, match="when align ran"):
        resolve(tmp_path / "selector")


def test_a_selector_with_its_own_files_is_its_own_encoder(local):
    assert resolve(local) == (local, files_hash(local))


def test_a_branch_of_a_hub_encoder_is_recorded_and_fetched_as_its_commit_of_that_moment(tmp_path, monkeypatch, local):
    asked, fetched = [], []

    class Api:
        def model_info(self, name, *, revision):
            asked.append((name, revision))
            return SimpleNamespace(sha="1" * 40)

    def fetch(name, *, revision, allow_patterns):
        fetched.append((name, revision))
        return str(local)

    monkeypatch.setattr(revisions, "HfApi", Api)
    monkeypatch.setattr(encoder_module, "snapshot_download", fetch)
    write_reference(tmp_path / "selector", "a/b", "main")
    assert read_json(tmp_path / "selector" / REFERENCE)["revision"] == "1" * 40
    assert resolve(tmp_path / "selector")[0] == local
    assert asked == [("a/b", "main")]
    assert set(fetched) == {("a/b", "1" * 40)}


def test_a_branch_that_nobody_can_be_asked_about_is_refused(monkeypatch):
    class Api:
        def model_info(self, name, *, revision):
            raise OSError("offline")

    monkeypatch.setattr(revisions, "HfApi", Api)
    with pytest.raises(InputError, match=r"align\.revision: the commit of 'main' of a/b.*offline"):
        locate("a/b", "main")


@pytest.mark.parametrize(
    ("encoder", "revision", "message"),
    [
        ("no/such/folder", None, "no folder here"),
        ("packaged:minilm", None, "Packaged encoders: packaged:all-minilm-l6-v2"),
        (MINILM, "0" * 40, "Set it to null"),
        ("no/such/model/at/all", "0" * 40, "cannot be fetched"),
    ],
)
def test_an_encoder_that_is_not_there_is_refused(encoder, revision, message):
    with pytest.raises(InputError, match=message):
        locate(encoder, revision)


def test_a_folder_without_weights_or_configuration_is_refused(tmp_path):
    with pytest.raises(InputError, match="no safetensors weights"):
        files_hash(tmp_path)
    with pytest.raises(InputError, match="cannot be read as a sentence encoder"):
        load(tmp_path)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(PACKAGED, MINILM, ("no_such_package", "model"))
    with pytest.raises(InputError, match="needs the package no_such_package"):
        locate(MINILM, None)


def test_the_packaged_encoder_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load(locate(MINILM, None)).max_seq_length == 256


def test_a_default_prompt_of_the_encoder_is_not_used(local):
    path = local / "config_sentence_transformers.json"
    content = read_json(path)
    path.unlink()
    write_json(path, content | {"prompts": {"query": "query: "}, "default_prompt_name": "query"})
    model = load(local)
    assert (model.prompts["query"], model.default_prompt_name) == ("query: ", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[", "not valid JSON"), ("[]", "not allowed"), ('{"encoder": 3, "revision": null, "files": "a"}', "encoder: 3 is not")],
)
def test_a_broken_reference_is_told_by_name(tmp_path, content, message):
    (tmp_path / REFERENCE).write_text(content)
    with pytest.raises(InputError, match=rf"{REFERENCE}: [\s\S]*{message}"):
        resolve(tmp_path)


def test_a_tokenizer_that_its_library_cannot_read_is_one_message(local):
    (local / "tokenizer.json").unlink()
    (local / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": 3}}')
    with pytest.raises(InputError, match="cannot be read as a sentence encoder"):
        load(local)


@pytest.fixture
def small(tokenizer, tmp_path):
    save_encoder(tokenizer, tmp_path / "small")
    return tmp_path / "small"


def test_weights_that_lack_a_layer_are_refused_and_never_random(small):
    config = read_json(small / "config.json")
    write_json(small / "config.json", config | {"num_hidden_layers": 2})
    with pytest.raises(InputError, match=r"small: the weights lack 16 tensors .* as 'encoder\.layer\.1\.\S+'; they would"):
        load(small)


def test_weights_without_pooler_and_in_a_folder_of_their_own_are_read(small):
    weights = load_file(small / "model.safetensors")
    save_file({name: weights[name] for name in weights if "pooler" not in name}, small / "model.safetensors", {"format": "pt"})
    before = load(small).encode(["some words"])
    inner = small / "0_Transformer"
    inner.mkdir()
    for path in small.iterdir():
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(inner / path.name)
    modules = read_json(small / "modules.json")
    modules[0]["path"] = inner.name
    write_json(small / "modules.json", modules)
    assert (load(small).encode(["some words"]) == before).all()


def test_what_breaks_only_when_a_text_is_encoded_is_refused_at_once(small):
    path = small / "sentence_bert_config.json"
    text = path.read_text()
    assert '"forward"' in text
    path.write_text(text.replace('"forward"', '"fordward"'))
    with pytest.raises(InputError, match=r"small cannot be read as a sentence encoder \(.*fordward"):
        load(small)


def test_a_file_that_cannot_be_read_is_named_and_a_name_of_odd_bytes_is_none(small):
    (small / os.fsdecode(b"\xe9.json")).touch()
    assert len(files_hash(small)) == 16
    (small / "vocab.txt").symlink_to("vocab.txt")
    with pytest.raises(InputError, match=r"small: 'vocab.txt' cannot be read \(Too many levels of symbolic links\)"):
        files_hash(small)
