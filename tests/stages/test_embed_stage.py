from dataclasses import replace

import numpy as np
import pytest

from instune.errors import InputError
from instune.records import write_tasks
from instune.results import read_json
from instune.selection.encoder import PACKAGED, write_reference
from instune.selection.table import read
from stages import embed


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_reference(tmp_path / "selector", next(iter(PACKAGED)), None)
    tasks = dict(tiny_pool[0])

    def run(batch_size=1, **changes):
        (tmp_path / "params.yaml").write_text(f"embed: {{batch_size: {batch_size}}}\n")
        write_tasks(tmp_path / "tasks.parquet", [replace(task, **changes.get(task.task_id, {})) for task in tasks.values()])
        out, report = tmp_path / "out" / "embeddings.parquet", tmp_path / "reports" / "embed.json"
        embed.main(tasks=tmp_path / "tasks.parquet", selector=tmp_path / "selector", out=out, report=report)
        return out, report

    run.tasks = tasks
    return run


def test_every_wording_has_a_unit_vector(run):
    out, report = run()
    rows = read(out, "wording")
    expected = [(task.task_id, index) for task in run.tasks.values() for index in range(len(task.wordings))]
    assert list(zip(rows.task_ids, rows.indices.tolist(), strict=True)) == expected
    assert rows.vectors.shape == (16, 384)
    np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1, atol=1e-6)
    assert read_json(report)["pools"] == {"tiny": {"wordings": 16, "longest": 9, "truncated": 0}}


def test_a_long_instruction_is_counted_and_marked(run):
    out, report = run(task3={"wordings": ("Short.", "long " * 400)})
    assert read_json(report)["pools"]["tiny"]["truncated"] == 1
    assert read_json(report)["max_tokens"] == 256
    rows = read(out, "wording")
    assert [(task, index) for task, index, cut in zip(rows.task_ids, rows.indices, rows.truncated, strict=True) if cut] == [
        ("task3", 1)
    ]


def test_a_second_run_writes_the_same_bytes_with_or_without_cache(run, tmp_path):
    out, report = run()
    first = out.read_bytes(), report.read_bytes()
    run()
    assert (out.read_bytes(), report.read_bytes()) == first
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    run()
    assert (out.read_bytes(), report.read_bytes()) == first


def test_only_a_changed_wording_is_encoded_again(run, capsys):
    run()
    assert "16 encoded now" in capsys.readouterr().out
    run(task3={"wordings": ("Name the colour in text 3.", "New.")})
    assert "1 encoded now" in capsys.readouterr().out


def test_a_blank_wording_is_refused_and_leaves_nothing(run, tmp_path):
    with pytest.raises(InputError, match="task task3: wording 1 is blank"):
        run(task3={"wordings": ("Short.", " ")})
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "reports").exists()
