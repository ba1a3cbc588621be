from dataclasses import replace

import numpy as np
import pytest

from instune.errors import InputError
from instune.records import write_examples, write_tasks
from instune.results import read_json, write_json
from instune.selection.encoder import PACKAGED, write_reference
from instune.selection.table import read
from stages import embed


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_reference(tmp_path / "selector", next(iter(PACKAGED)), None)
    tasks, examples = tiny_pool

    def run(batch_size=1, inputs=0, **changes):
        (tmp_path / "params.yaml").write_text(f"embed: {{batch_size: {batch_size}, inputs: {inputs}}}\n")
        write_tasks(tmp_path / "tasks.parquet", [replace(task, **changes.get(task.task_id, {})) for task in tasks.values()])
        out, report = tmp_path / "out" / "embeddings.parquet", tmp_path / "reports" / "embed.json"
        if inputs:
            write_examples(tmp_path / "examples.parquet", examples)
        files = {name: tmp_path / f"{name}.parquet" for name in ("tasks", "examples")}
        embed.main(**files, selector=tmp_path / "selector", out=out, report=report)
        return out, report

    run.tasks, run.examples = tasks, examples
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


def test_inputs_of_the_last_examples_are_encoded_where_asked_for(run):
    out, _ = run()
    assert read(out, "example").task_ids == ()
    blank = next(number for number, example in enumerate(run.examples) if example.example_id == "task2-4")
    run.examples[blank] = replace(run.examples[blank], input=" ")
    out, report = run(inputs=2)
    rows = read(out, "example")
    expected = [(f"task{task}", index) for task in range(8) for index in (3, 4) if (task, index) != (2, 4)]
    assert list(zip(rows.task_ids, rows.indices.tolist(), strict=True)) == expected
    same = rows.indices == 3  # "The apple 3 is red." in every task
    assert len(np.unique(rows.vectors[same], axis=0)) == 1
    assert len(read(out, "wording").task_ids) == 16
    costs = read_json(report)["kinds"]
    assert (costs["wording"]["texts"], costs["example"]["texts"]) == (16, 15)
    assert costs["example"]["flops"] == 2 * 10_764_288 * costs["example"]["tokens"]  # matrices of MiniLM, its pooler included


def test_truncated_texts_are_counted_per_kind(run):
    run.examples[-1] = replace(run.examples[-1], input="long " * 400)
    _, report = run(inputs=1, task3={"wordings": ("Short.", "long " * 400, "longer " * 400)})
    assert {kind: part["truncated"] for kind, part in read_json(report)["kinds"].items()} == {"wording": 2, "example": 1}


def test_inputs_that_are_all_blank_are_refused_and_leave_nothing(run, tmp_path):
    run.examples[:] = [replace(example, input=" ") for example in run.examples]
    with pytest.raises(InputError, match=r"embed.inputs: 2 .* all of the 16 examples .*blank input.\n  Set embed.inputs: 0"):
        run(inputs=2)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "reports").exists()


def test_a_missing_encoder_is_refused(run, tmp_path):
    write_json(tmp_path / "selector" / "selector.json", {"encoder": "nowhere/encoder", "revision": None, "files": "0"})
    with pytest.raises(InputError, match="'nowhere/encoder' is no folder here"):
        run()
    assert not (tmp_path / "out").exists()
