"""The base model comes from a package, a reference, or from scratch; a failure leaves nothing behind."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HFValidationError, HTTPError
from makers import make_example, make_task

from instune import models, records, revisions
from instune.errors import InputError
from instune.results import read_json
from stages import base_model

SCRATCH = (
    "{source: from_scratch, vocab_size: 300, hidden_size: 16, layers: 1, heads: 2, steps: 2, batch_size: 2, length: 8, "
    "learning_rate: 1e-3, seed: 0}"
)


@pytest.fixture
def run_stage(tmp_path, monkeypatch):
    """Run the stage in an empty folder with a pool whose target holds a word of its own."""
    monkeypatch.chdir(tmp_path)
    source, target = make_task(0), make_task(1, split="test")
    records.write_tasks(tmp_path / "tasks.parquet", [source, target])
    records.write_examples(
        tmp_path / "examples.parquet",
        [make_example(source, 0, text="plain words " * 20), make_example(target, 0, text="zyzzyva " * 50)],
    )

    def run(section: str):
        targets = "targets: {by: split, values: [test], examples_per_task: 1}"
        (tmp_path / "params.yaml").write_text(f"base_model: {section}\n{targets}\n", encoding="utf-8")
        base_model.main(tasks=tmp_path / "tasks.parquet", examples=tmp_path / "examples.parquet", out=tmp_path / "base")
        return tmp_path / "base"

    return run


def test_from_scratch_reads_source_tasks_only_and_is_deterministic(run_stage):
    folder = run_stage(SCRATCH)
    first = models.weights_hash(folder)
    vocabulary = models.load_tokenizer(folder).get_vocab()
    assert any("plain" in token for token in vocabulary)
    assert not any("zyz" in token for token in vocabulary)
    assert models.weights_hash(run_stage(SCRATCH)) == first


def test_a_local_folder_becomes_a_reference(run_stage, model_folder):
    folder = run_stage(f"{{source: local, name: {model_folder}}}")
    assert [file.name for file in folder.iterdir()] == ["model.json"]
    assert models.load_model(folder, device=torch.device("cpu")).config.hidden_size == 32


def test_a_folder_without_config_is_refused_and_nothing_is_left(run_stage, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        run_stage(f"{{source: local, name: {tmp_path / 'empty'}}}")
    assert not list(tmp_path.glob("base*"))


@pytest.mark.parametrize(
    "section", ["{source: hub, name: a/b, revision: ''}", "{source: elsewhere, name: a}", "{source: hub, name: a/b}"]
)
def test_an_unpinned_or_unknown_source_is_refused(run_stage, section):
    with pytest.raises(InputError, match="base_model"):
        run_stage(section)


def test_a_branch_is_recorded_and_loaded_as_its_commit_of_that_moment(run_stage, monkeypatch, model_folder):
    asked, loaded, now = [], [], ["1" * 40]

    class Api:
        def model_info(self, name, *, revision):
            asked.append((name, revision))
            return SimpleNamespace(sha=now[0])

    def from_hub(real):
        def load(name, **keywords):
            if name == "a/b":
                loaded.append(keywords.pop("revision"))
            return real(model_folder, **keywords)

        return load

    monkeypatch.setattr(revisions, "HfApi", Api)
    for kind in (models.AutoConfig, models.AutoTokenizer):
        monkeypatch.setattr(kind, "from_pretrained", from_hub(kind.from_pretrained))
    folder = run_stage("{source: hub, name: a/b, revision: main}")
    assert asked == [("a/b", "main")]
    assert read_json(folder / "model.json") == {"name": "a/b", "revision": "1" * 40}
    now[0] = "2" * 40  # the branch moves on
    models.load_tokenizer(folder)
    assert loaded == ["1" * 40] * 4  # configuration and tokenizer, twice
    assert len(asked) == 1


@pytest.mark.parametrize("error", [OSError("offline"), HTTPError("no such host"), HFValidationError("bad name")])
def test_a_branch_that_nobody_can_be_asked_about_is_refused_and_nothing_is_left(run_stage, monkeypatch, tmp_path, error):
    class Api:
        def model_info(self, name, *, revision):
            raise error

    monkeypatch.setattr(revisions, "HfApi", Api)
    with pytest.raises(InputError, match=r"base_model\.revision: the commit of 'main' of a/b.*\n.*40 hex digits.*local folder"):
        run_stage("{source: hub, name: a/b, revision: main}")
    assert not list(tmp_path.glob("base*"))


def test_a_commit_is_asked_of_nobody(monkeypatch):
    monkeypatch.setattr(revisions, "HfApi", None)
    assert revisions.commit_of("a/b", "a1" * 20, key="base_model.revision") == "a1" * 20


def test_an_unreachable_hub_model_is_one_message(run_stage, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="no model configuration can be read"):
        run_stage(f"{{source: hub, name: nobody/nothing, revision: '{'0' * 40}'}}")


@pytest.mark.parametrize("content", ["", "{}", None])
def test_a_local_model_with_a_broken_tokenizer_is_refused_and_nothing_is_left(run_stage, model_folder, tmp_path, content):
    shutil.copytree(model_folder, tmp_path / "broken")
    if content is None:
        for file in (tmp_path / "broken").glob("*token*"):
            file.unlink()
    else:
        (tmp_path / "broken" / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match="no tokenizer can be read"):
        run_stage(f"{{source: local, name: {tmp_path / 'broken'}}}")
    assert not list(tmp_path.glob("base*"))
