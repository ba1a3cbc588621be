"""The transfer matrix: one row per family, of the right tasks, by stages that have the options it gives, resumed after a kill."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from instune.evaluation.predictions import Prediction, write_predictions
from instune.records import write_examples, write_tasks
from instune.results import read_json
from tools import bed, transfer


def prediction(task_id, number, output, nll, tokens):
    """One answer; right where it is `red`."""
    return Prediction(
        task_id, f"{task_id}-{number}", "?", "0" * 16, output, ["red"], None, None, nll, tokens, 1, 1, "stop", "m", [], False
    )


@pytest.fixture
def stages(tmp_path, monkeypatch, tiny_pool):
    """Made stages; the list of what was trained on. A model's NLL is the number of its training tasks plus its first task's."""
    tasks, examples = tiny_pool
    trained: list[list[str]] = []

    def make(work, model):
        assert model == tmp_path / "model"
        write_tasks(work / bed.TASKS, tasks.values())
        write_examples(work / bed.EXAMPLES, examples)

    def run(work, name, *options):
        given = dict(zip(options[::2], options[1::2], strict=True))
        keywords = inspect.signature(importlib.import_module(f"stages.{name}").main).parameters
        assert set(given) == {f"--{key.replace('_', '-')}" for key in keywords}
        if name == "finetune":
            trained.append(read_json(work / given["--selection"])["selected"])
        if name == "evaluate":
            level = 9.0 if given["--model"] == str(bed.MODEL) else float(trained[-1][0][-1])
            rows = [prediction("task6", 0, "red", level, 1), prediction("task6", 1, "blue", 3 * level, 3)]
            write_predictions(work / given["--out"], [*rows, prediction("task7", 0, "red", 0.0, 2)])

    monkeypatch.setattr(transfer, "ROOT", tmp_path)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    monkeypatch.setattr(transfer, "weights_hash", lambda model: "w" * 16)
    monkeypatch.setattr(bed, "make", make)
    monkeypatch.setattr(transfer, "stage", run)
    return trained


def test_every_family_has_the_row_of_a_model_trained_on_its_tasks(stages, tmp_path):
    transfer.measure(3, tmp_path / "model", tmp_path / "out", tokens=500, examples=4)
    matrix = read_json(tmp_path / "out/seed-3.json")
    assert stages == [["task0", "task3"], ["task1", "task4"], ["task2", "task5"]]
    assert matrix["tasks"] == {f"task{number}": f"category{number % 3}" for number in range(6)}
    assert matrix["base"] == {"task6": {"nll": 9.0, "exact_match": 0.5}, "task7": {"nll": 0.0, "exact_match": 1.0}}
    assert {family: row["task6"]["nll"] for family, row in matrix["families"].items()} == {
        "category0": 0.0,
        "category1": 1.0,
        "category2": 2.0,
    }
    settings = matrix["settings"]
    assert (settings["seed"], settings["examples_per_task"], settings["finetune"]["max_tokens"]) == (3, 4, 500)
    assert settings["base_model"] == "w" * 16
    assert settings["finetune"]["validation_share"] == 0
    assert not list((tmp_path / ".scratch/transfer").iterdir())


def kill_after_the_first_family(tmp_path):
    """Measure seed 0 until the second family's turn."""
    whole = transfer.after_training

    def killed(work, task_ids):
        if task_ids[0] == "task1":
            raise KeyboardInterrupt
        return whole(work, task_ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "after_training", killed)
        with pytest.raises(KeyboardInterrupt):
            transfer.measure(0, tmp_path / "model", tmp_path / "out", tokens=500, examples=4)


def test_a_killed_run_goes_on_with_the_next_family(stages, tmp_path):
    kill_after_the_first_family(tmp_path)
    transfer.measure(0, tmp_path / "model", tmp_path / "out", tokens=500, examples=4)
    assert [part[0] for part in stages] == ["task0", "task1", "task2"]
    assert set(read_json(tmp_path / "out/seed-0.json")["families"]) == {"category0", "category1", "category2"}


def test_rows_of_another_recipe_are_not_taken_over(stages, tmp_path):
    kill_after_the_first_family(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("learning_rate: 3.0e-4", "learning_rate: 0.5"))
    transfer.measure(0, tmp_path / "model", tmp_path / "out", tokens=500, examples=4)
    assert [part[0] for part in stages] == ["task0", "task0", "task1", "task2"]
    assert read_json(tmp_path / "out/seed-0.json")["settings"]["finetune"]["learning_rate"] == 0.5
