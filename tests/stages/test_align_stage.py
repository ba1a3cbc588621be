import pytest

from instune.errors import InputError
from instune.records import write_tasks
from instune.results import read_json
from instune.selection.encoder import files_hash, load, resolve
from stages import align

PARAMS = """
align: {encoder: %s, revision: %s, epochs: %s, batch_size: 4, learning_rate: 1.0e-4}
targets: {by: split, values: [test], examples_per_task: 5}
seed: 0
"""


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.parquet", tiny_pool[0].values())

    def run(encoder="packaged:all-minilm-l6-v2", revision="null", epochs="0"):
        (tmp_path / "params.yaml").write_text(PARAMS % (encoder, revision, epochs))
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


def test_wordings_of_targets_take_no_part(run, monkeypatch):
    seen = set()
    vectors = align.unit_vectors
    monkeypatch.setattr(align, "unit_vectors", lambda model, texts, size: seen.update(texts) or vectors(model, texts, size))
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
