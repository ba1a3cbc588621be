"""The playground stage as a user runs it."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from instune.errors import InputError
from instune.pools.playground import task_ids
from stages import playground


def write_params(folder, **values):
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump({"playground": {"seed": 0, "instances_per_task": 4} | values}, file)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    return tmp_path


def test_the_pool_is_written_whole_and_replaces_an_older_one(workplace):
    out = workplace / "data/raw/playground"
    out.mkdir(parents=True)
    (out / "stale.txt").write_text("from another run")
    playground.main(out=out)
    files = sorted((out / "tasks").iterdir())
    assert len(files) == len(task_ids())
    assert all(len(json.loads(file.read_text(encoding="utf-8"))["Instances"]) == 4 for file in files)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "known_answers.json", "splits", "tasks"]
    assert [path.name for path in out.parent.iterdir()] == ["playground"]


def test_a_pool_that_cannot_be_made_leaves_the_old_one_and_nothing_half_written(workplace):
    out = workplace / "data/raw/playground"
    playground.main(out=out)
    write_params(workplace, instances_per_task=2000)
    with pytest.raises(InputError, match="instances_per_task"):
        playground.main(out=out)
    assert [path.name for path in out.parent.iterdir()] == ["playground"]
    assert len(list((out / "tasks").iterdir())) == len(task_ids())


@pytest.mark.parametrize("wrong", [{"instances_per_task": 0}, {"seed": "one"}, {"instances": 3}])
def test_wrong_parameters_are_named(workplace, wrong):
    write_params(workplace, **wrong)
    with pytest.raises(InputError, match=f"playground.{next(iter(wrong))}"):
        playground.main(out=workplace / "out")
    assert not (workplace / "out").exists()
