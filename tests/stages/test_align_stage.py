from dataclasses import replace

import pytest

from instune.errors import InputError
from instune.records import write_tasks
from instune.results import read_json
from instune.selection import align as library
from instune.selection.encoder import files_hash, load, resolve
from stages import align

PARAMS = """
align: {encoder: %s, revision: %s, epochs: %s, alike: %s, pairs: %s, batch_size: 4, learning_rate: 1.0e-4}
targets: {by: split, values: [test], examples_per_task: 5}
seed: 0
"""


@pytest.fixture
def run(tmp_path, monkeypatch, unlike_pool):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.parquet", unlike_pool[0].values())

    def run(encoder="packaged:all-minilm-l6-v2", revision="null", epochs="0", alike="wordings", pairs="null"):
        (tmp_path / "params.yaml").write_text(PARAMS % (encoder, revision, epochs, alike, pairs))
        files = {"out": tmp_path / "models" / "selector", "report": tmp_path / "reports" / "align.json"}
        align.main(tasks=tmp_path / "tasks.parquet", **files)
        return files["out"], read_json(files["report"])

    return run


def test_zero_epochs_leave_a_reference_with_nothing_of_this_machine(run, tmp_path):
    folder, report = run()
    assert [file.name for file in folder.iterdir()] == ["selector.json"]
    assert set(read_json(folder / "selector.json")) == {"encoder", "revision", "files"}
    text = (folder / "selector.json").read_text()
    assert "site-packages" not in text
    assert str(tmp_path) not in text
    assert report == {"epoch": 0}
    assert run()[0].joinpath("selector.json").read_text() == text


def test_an_epoch_leaves_an_encoder_that_embed_reads(run, tmp_path):
    folder, report = run(epochs="1")
    assert report["epoch"] == 1
    assert report["pairs"]["development"] == 2 + 4  # two tasks of two wordings
    assert set(report["before"]) == set(report["after"]) == {"pearson", "auc"}
    assert resolve(folder) == (folder, files_hash(folder))
    assert load(folder).encode(["a"]).shape == (1, 384)
    texts = [file.read_text() for file in folder.rglob("*.json")]
    assert not any(str(tmp_path) in text or "site-packages" in text for text in texts)
    first = files_hash(folder)
    assert files_hash(run(epochs="1")[0]) == first
    assert not list(folder.parent.glob("*.partial"))


def test_tasks_with_one_wording_learn_from_their_examples(run, tmp_path, unlike_pool):
    tasks = [replace(task, wordings=task.wordings[:1]) for task in unlike_pool[0].values()]
    write_tasks(tmp_path / "tasks.parquet", tasks)
    with pytest.raises(InputError, match=r"0 of 6 have them.\n  Set align.alike: examples"):
        run(epochs="1")
    _, report = run(epochs="1", alike="examples", pairs="2")
    assert report["alike"] == "examples"
    assert report["pairs"]["train"] <= 4
    assert report["pairs"]["development"] == 4
    with pytest.raises(InputError, match="0 negative pairs to train on, and both are needed"):
        run(epochs="1", alike="category")  # of 3 categories two develop: the one that trains has no other


def test_wordings_of_targets_take_no_part(run, monkeypatch):
    seen = set()
    vectors = library.unit_vectors
    monkeypatch.setattr(library, "unit_vectors", lambda model, texts, size: seen.update(texts) or vectors(model, texts, size))
    run(epochs="1")
    assert len(seen) == 12
    assert not any("6" in text or "7" in text for text in seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "no/such/folder"}, "no folder here"),
        ({"encoder": "packaged:other"}, "is unknown"),
        ({"revision": "main"}, "align.revision: 'main'"),
        ({"epochs": "-1"}, "align.epochs: -1"),
    ],
)
def test_a_wrong_encoder_is_refused_and_leaves_nothing(run, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        run(**change)
    assert not list((tmp_path / "models").glob("*"))
