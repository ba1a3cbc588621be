"""The ingest stage as a user runs it."""

from __future__ import annotations

import json
import socket

import pytest
from ruamel.yaml import YAML

from instune.errors import InputError
from instune.records import read_examples, read_tasks
from instune.results import read_json
from stages import ingest
from tests.pools.conftest import make_record, write_clone

POOL = {"reader": "super_natural_instructions", "instances_per_task": 2, "test_instances_per_task": 3, "language": "English"}
NAMES = [f"task{number:03}_a" for number in range(1, 49)]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a pool of 48 tasks, the last eight for testing, and its parameters."""
    monkeypatch.chdir(tmp_path)
    tasks = {name: make_record(number, instances=4) for number, name in enumerate(NAMES, start=1)}
    write_clone(tmp_path / "data/raw/small", tasks, train=NAMES[:40], test=NAMES[40:])
    write_params(tmp_path)
    return tmp_path


def write_params(folder, *, strict=True, values=("test",), pools=("small",), overlap="report"):
    params = {
        "ingest": {"strict": strict, "overlap": overlap},
        "pools": dict.fromkeys(pools, POOL),
        "targets": {"by": "split", "values": list(values), "examples_per_task": 5},
    }
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


def run(folder, out="out"):
    out = folder / out
    paths = {"tasks": out / "tasks.parquet", "examples": out / "examples.parquet", "card": out / "data_card.json"}
    ingest.main(raw=folder / "data/raw", **paths)
    return paths


def test_the_pool_and_its_card_are_written(workplace):
    paths = run(workplace)
    tasks, examples = read_tasks(paths["tasks"]), list(read_examples(paths["examples"]))
    assert list(tasks) == NAMES
    assert len(examples) == 40 * 2 + 8 * 3
    card = read_json(paths["card"])["small"]
    assert (card["tasks"], card["examples"], card["splits"]) == (48, 104, {"train": 40, "test": 8})
    assert card["skipped"] == {}
    assert str(workplace) not in json.dumps(card)


def test_a_pool_of_targets_alone_is_compared_with_nothing(workplace):
    write_params(workplace, values=("train", "test"))
    paths = run(workplace)
    assert read_json(paths["card"])["small"]["overlap"] == []
    assert len(list(read_examples(paths["examples"]))) == 104


def test_two_runs_write_the_same_bytes(workplace):
    first, second = run(workplace, "one"), run(workplace, "two")
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]


def test_broken_json_in_one_task_of_48_stops_and_leaves_nothing(workplace):
    (workplace / "data/raw/small/tasks/task017_a.json").write_text('{"Definition": [')
    with pytest.raises(InputError) as error:
        run(workplace)
    assert "tasks/task017_a.json: not valid JSON. Found: Expecting value: line 1 column 17" in str(error.value)
    assert "ingest.strict: false" in str(error.value)
    assert list(workplace.glob("out/*")) == []
    write_params(workplace, strict=False)
    paths = run(workplace)
    assert read_json(paths["card"])["small"]["skipped"] == {"not valid JSON": 1}
    assert read_json(paths["card"])["small"]["first_skipped"] == {"not valid JSON": "tasks/task017_a.json"}


def test_an_unknown_target_stops_and_leaves_nothing(workplace):
    write_params(workplace, values=["tset"])
    with pytest.raises(InputError, match=r"'tset' is unknown .* Near: test"):
        run(workplace)
    assert list(workplace.glob("out/*")) == []


def test_a_task_in_two_pools_is_refused(workplace):
    write_clone(workplace / "data/raw/more", {"task001_a": make_record(1)}, train=["task001_a"])
    write_params(workplace, pools=("small", "more"))
    with pytest.raises(InputError, match="task001_a is in pool more too"):
        run(workplace)


def test_overlap_with_a_target_is_reported_or_dropped(workplace):
    same = [{"id": f"copy-{number}", "input": f"TEXT 41 {number}.", "output": ["x"]} for number in range(2)]
    folder = workplace / "data/raw/small/tasks"
    (folder / "task003_a.json").write_text(json.dumps(make_record(3, Instances=same)))
    (folder / "task004_a.json").write_text(
        json.dumps(make_record(4, Instances=[same[0] | {"id": "x"}, make_record(4)["Instances"][0]]))
    )
    paths = run(workplace)
    card, pairs = read_json(paths["card"])["small"], {"exact": 1, "near": 0, "source": "task004_a", "target": "task041_a"}
    assert card["overlap"] == [pairs | {"exact": 2, "source": "task003_a"}, pairs]
    assert (card["dropped_for_overlap"], len(list(read_examples(paths["examples"])))) == (0, 104)
    write_params(workplace, overlap="drop")
    paths = run(workplace, "dropped")
    assert read_json(paths["card"])["small"]["dropped_for_overlap"] == 3
    assert not {"copy-0", "copy-1", "x"} & {example.example_id for example in read_examples(paths["examples"])}
    assert set(read_tasks(paths["tasks"])) == set(NAMES) - {"task003_a"}
    assert sorted(path.name for path in (workplace / "dropped").iterdir()) == [
        "data_card.json",
        "examples.parquet",
        "tasks.parquet",
    ]


def test_no_network_is_touched(workplace, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    run(workplace)
