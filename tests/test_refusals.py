"""What a user can get wrong in the committed default is refused before anything is written, on one screen, with the way out."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from instune.config import read_params
from instune.errors import InputError
from stages.check import check

ROOT = Path(__file__).parents[1]
COMMITTED = read_params(ROOT / "params.yaml")


def changed(folder: Path, key: str, value: object) -> Path:
    """params.yaml with one value changed, in `folder`."""
    params = json.loads(json.dumps(COMMITTED))
    *sections, last = key.split(".")
    node = params
    for name in sections:
        node = node[name]
    node[last] = value
    path = folder / "params.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("finetune.learning_rat", 1e-4),
        ("select.top_k", 0),
        ("finetune.learning_rate", "fast"),
        ("finetune.loss_mask", "some"),
        ("finetune.loss_mask", {"output": 1.0}),
        ("targets.by", "moon"),
        ("base_model.source", "cloud"),
        ("nonsense", {}),
    ],
)
def test_a_wrong_parameter_is_named_with_its_key_before_anything_runs(tmp_path, key, value):
    with pytest.raises(InputError) as error:
        check(changed(tmp_path, key, value))
    message = str(error.value)
    assert key.split(".")[-1] in message
    assert len(message.splitlines()) < 20


@pytest.fixture
def playground(tmp_path, monkeypatch):
    """A folder with a small playground and the committed parameters."""
    monkeypatch.chdir(tmp_path)
    changed(tmp_path, "playground.instances_per_task", 3)
    importlib.import_module("stages.playground").main(out=Path("data/raw/playground"))
    return tmp_path


def ingest() -> None:
    importlib.import_module("stages.ingest").main(
        raw=Path("data/raw"), tasks=Path("pool/tasks.parquet"), examples=Path("pool/examples.parquet"), card=Path("card.json")
    )


def test_broken_json_in_one_task_stops_ingest_with_its_name_and_leaves_nothing(playground):
    broken = sorted(Path("data/raw/playground/tasks").glob("*.json"))[7]
    broken.write_text(broken.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(InputError, match=broken.name):
        ingest()
    assert not [path for path in playground.rglob("*") if path.is_file() and ("pool" in path.parts or path.name == "card.json")]


def test_an_unknown_target_stops_ingest_with_near_names_and_leaves_nothing(playground):
    changed(playground, "targets.values", ["tset"])
    with pytest.raises(InputError, match=r"'tset'.*test"):
        ingest()
    assert not list(playground.rglob("*.parquet*"))
