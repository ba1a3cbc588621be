"""The lengths stage as a user runs it."""

from __future__ import annotations

import pytest

from instune.errors import InputError
from instune.models import write_reference
from instune.records import write_examples, write_tasks
from instune.results import read_json
from stages import lengths


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    tasks, examples = tiny_pool
    write_tasks(tmp_path / "tasks.parquet", tasks.values())

    def run(asked="12", *, rows=examples, model=model_folder):
        (tmp_path / "params.yaml").write_text(f"seed: 0\nlengths: {{examples_per_pool: {asked}}}\n")
        write_examples(tmp_path / "examples.parquet", rows)
        out = tmp_path / "reports" / "lengths.json"
        lengths.main(tasks=tmp_path / "tasks.parquet", examples=tmp_path / "examples.parquet", model=model, out=out)
        return out

    return run


def test_the_drawn_examples_are_measured_and_told(run, capsys):
    found = read_json(run())["tiny"]
    assert (found["examples"], found["of"]) == (12, 40)
    assert list(found["parts"]) == ["input", "instruction", "output"]
    assert found["parts"]["output"]["words"]["histogram"] == [0, 12]
    assert found["parts"]["input"]["words"]["mean"] == 5.0
    assert "lengths of 12 of 40 examples in 1 pool(s)" in capsys.readouterr().out


def test_all_measures_every_example(run):
    found = read_json(run("all"))["tiny"]
    assert (found["examples"], found["of"]) == (40, 40)


def test_the_bytes_do_not_depend_on_the_order_of_the_file(run, tiny_pool):
    first = run().read_bytes()
    assert run(rows=tiny_pool[1][::-1]).read_bytes() == first


def test_a_model_that_is_only_referred_to_is_measured_alike(run, model_folder, tmp_path):
    (tmp_path / "reference").mkdir()
    write_reference(tmp_path / "reference", str(model_folder), None)
    first = run().read_bytes()
    assert run(model=tmp_path / "reference").read_bytes() == first


@pytest.mark.parametrize("asked", ["0", "-1", "some", "1.5", "null"])
def test_a_number_of_examples_that_makes_no_sense_is_refused(run, asked, tmp_path):
    with pytest.raises(InputError, match=r"lengths\.examples_per_pool"):
        run(asked)
    assert not (tmp_path / "reports").exists()
