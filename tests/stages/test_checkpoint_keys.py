"""T14: a checkpoint is found again only by a run on the same tokenizer, chat template and configuration, weights aside."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import finetuning
import optimizing
import pytest

from instune.results import write_json
from stages import evaluate, finetune, optimize_instructions

MORE = {"tokenizer.json": "\n", "tokenizer_config.json": "\n", "chat_template.jinja": "{# other #}", "config.json": "\n"}


class Reached(Exception):
    """Raised where a checkpoint would be looked for."""


@pytest.fixture
def folder(model_folder, tmp_path, monkeypatch) -> Path:
    """A copy of the model's folder that may be changed; the current folder is empty."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture(params=["folder", "reference"])
def model(request, folder, tmp_path) -> Path:
    """That folder, or one that refers to it."""
    if request.param == "folder":
        return folder
    write_json(tmp_path / "base/model.json", {"name": str(folder), "revision": None})
    return tmp_path / "base"


@pytest.fixture
def watched(monkeypatch) -> Callable:
    """Lets a name end the run; returns what it came to, or was given."""

    def watch(place, name: str, what: Callable) -> list:
        seen = []

        def stand_in(*given):
            seen.append(what(*given))
            raise Reached

        monkeypatch.setattr(place, name, stand_in)
        return seen

    return watch


def hold_apart(run: Callable, seen: list, folder: Path) -> None:
    """Equal keys for equal files, another one for each file that is changed."""
    for name in (None, None, *MORE):
        before = (folder / (name or "config.json")).read_text()
        (folder / (name or "config.json")).write_text(before + MORE.get(name, ""))
        with pytest.raises(Reached):
            run()
        (folder / (name or "config.json")).write_text(before)
    assert seen[0] == seen[1]
    assert len(set(seen)) == 1 + len(MORE)


def test_of_finetune(model, folder, tiny_pool, watched):
    workspace = finetuning.workspace_of(tiny_pool, model)
    hold_apart(lambda: finetune.main(**workspace), watched(finetune, "run_key", finetune.run_key), folder)


def test_of_optimize_instructions(model, folder, tiny_pool, watched):
    paths = optimizing.paths_of(tiny_pool, model)
    optimizing.write_params("embedder_direct")
    stage = optimize_instructions
    hold_apart(lambda: stage.main(**paths), watched(stage, "run_key", stage.run_key), folder)


def test_of_evaluate(model, folder, tiny_pool, watched):
    workspace = finetuning.workspace_of(tiny_pool, model)
    more = {"targets": {"by": "split", "values": ["test"], "examples_per_task": 1}}
    more |= {"evaluate": {"max_new_tokens": 5, "batch_size": 4, "precision": "float32"}}
    write_json(Path("params.yaml"), finetuning.PARAMS | more)
    given = {name: workspace[name] for name in ("model", "tasks", "examples", "out")}
    hold_apart(lambda: evaluate.main(**given), watched(evaluate, "Journal", str), folder)
