import pytest

from instune.errors import InputError
from instune.records import write_tasks
from instune.results import read_json
from stages import align

PARAMS = """
align: {encoder: %s, revision: %s, epochs: %s}
targets: {by: split, values: [test], examples_per_task: 5}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool):
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.parquet", tiny_pool[0].values())

    def run(encoder="packaged:all-minilm-l6-v2", revision="null", epochs="0"):
        (tmp_path / "params.yaml").write_text(PARAMS % (encoder, revision, epochs))
        align.main(tasks=tmp_path / "tasks.parquet", out=tmp_path / "models" / "selector")
        return tmp_path / "models" / "selector"

    return run


def test_zero_epochs_leave_a_reference_with_nothing_of_this_machine(run, tmp_path):
    folder = run()
    assert [file.name for file in folder.iterdir()] == ["selector.json"]
    assert set(read_json(folder / "selector.json")) == {"encoder", "revision", "files"}
    text = (folder / "selector.json").read_text()
    assert "site-packages" not in text
    assert str(tmp_path) not in text
    assert run().joinpath("selector.json").read_text() == text


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
