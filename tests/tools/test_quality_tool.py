"""The command on a tiny pool with a tiny model: every selector by the real stages, resumed, refused where the bed is another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from makers import make_example, make_task

from instune.config import read_params
from instune.errors import InputError
from instune.records import write_examples, write_tasks
from instune.results import read_json, write_json
from instune.selection import quality
from tools import bed
from tools.quality import __main__ as command
from tools.quality import selectors
from tools.quality.selectors import GROUPS, Group, alignment_flops

ROOT = Path(__file__).parents[2]
NAMES = {name for group in GROUPS for name in group.selectors}


def row(gain, *tasks):
    return {task: {"nll": 3.0 - gain * (number + 1), "exact_match": 0.1 * gain} for number, task in enumerate(tasks)}


@pytest.fixture
def keywords(tmp_path, monkeypatch, unlike_pool, model_folder):
    """The command's keywords, with two transfer matrices of the tiny pool; aligned encoders of two seeds and one epoch."""
    tasks, _ = unlike_pool
    examples = [make_example(task, number) for task in tasks.values() for number in range(14)]

    def make(work, model):
        write_tasks(work / bed.TASKS, tasks.values())
        write_examples(work / bed.EXAMPLES, examples)
        shutil.copytree(model, work / bed.MODEL)

    monkeypatch.setattr(bed, "make", make)
    monkeypatch.setattr(selectors, "EPOCHS", 1)
    monkeypatch.setattr(command, "GROUPS", tuple(Group(one.vectors, one.selectors, one.seeds[:2]) for one in GROUPS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    params = read_params(ROOT / "params.yaml")
    params |= {"prompt": {**params["prompt"], "template": "plain"}, "select": {**params["select"], "top_k": 2}}
    bed.write_params(tmp_path, params)
    for seed in (0, 1):
        families = {f"category{number}": row(number - seed, "task6", "task7") for number in range(3)}
        matrix = {"base": row(0, "task6", "task7"), "families": families}
        matrix["tasks"] = {task.task_id: task.category for task in tasks.values() if task.split == "train"}
        matrix["settings"] = {"seed": seed, "examples_per_task": 10, "finetune": {"max_tokens": 12_000}}
        write_json(tmp_path / f"transfer/seed-{seed}.json", matrix)
    places = {name: tmp_path / name for name in ("transfer", "scratch", "out")}
    return {"params": tmp_path / "params.yaml", "model": model_folder, **places}


def test_every_selector_is_measured_by_the_real_stages_and_a_second_call_measures_nothing(
    keywords, monkeypatch, capsys, tmp_path
):
    (keywords["transfer"] / "seed-1.json").unlink()
    command.main(**keywords)
    printed, content = capsys.readouterr().out, read_json(keywords["out"] / "quality.json")
    found = content["selectors"]
    assert set(found) == NAMES
    for name in NAMES:
        assert f"| {name} |" in printed
        assert found[name]["seconds"] > 0
        assert (found[name]["flops"] > 0) == (name not in ("random", "category (oracle)", "all"))
        assert set(found[name]["measures"]["regret_nll"]["beds"]) == {"0"}
    assert found["aligned, vote"]["flops"] > 3 * found["instruction, vote"]["flops"]
    assert (found["random"]["runs"], found["aligned, max"]["runs"], found["bm25"]["runs"]) == (2, 2, 1)
    assert content["settings"]["families"] == {"task6": "category0", "task7": "category1"}
    assert not (tmp_path / "users").exists()  # nothing came from, or went to, the user's cache
    assert not list(keywords["scratch"].glob("*/selector"))
    everything = {f"task{number}": f"category{number % 3}" for number in range(6)}
    truth = quality.gains(everything, 3.0, {f"category{number}": 3.0 - number for number in range(3)})  # of task6 on seed 0
    assert found["all"]["measures"]["regret_nll"]["beds"]["0"] == pytest.approx(quality.regret(list(everything), truth, 2))

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(command, "run_group", refuse)
    command.main(**keywords)
    assert read_json(keywords["out"] / "quality.json") == content
    assert (keywords["out"] / "quality.svg").read_text().startswith("<?xml")


def test_a_killed_run_goes_on_with_the_next_group(keywords, monkeypatch):
    monkeypatch.setattr(command, "GROUPS", GROUPS[:3])
    original, seen = command.run_group, []

    def record(work, params, group, seed):
        seen.append((params["playground"]["seed"], group.vectors, seed))
        return original(work, params, group, seed)

    def fourth_is_killed(*given):
        if len(seen) == 3:
            raise KeyboardInterrupt
        return record(*given)

    monkeypatch.setattr(command, "run_group", fourth_is_killed)
    with pytest.raises(KeyboardInterrupt):
        command.main(**keywords)
    monkeypatch.setattr(command, "run_group", record)
    command.main(**keywords)
    drawn = [(0, None, seed) for seed in range(5)]  # none twice, and what looks at no example on one bed only
    assert seen == [(0, "example", 0), (0, "wording", 0), *drawn, (1, "example", 0)]


def test_other_wordings_are_measured_anew(keywords, monkeypatch, unlike_pool):
    monkeypatch.setattr(command, "GROUPS", GROUPS[1:3])
    (keywords["transfer"] / "seed-1.json").unlink()
    command.main(**keywords)
    seen, original = [], command.run_group
    monkeypatch.setattr(command, "run_group", lambda *given: seen.append(given[2].vectors) or original(*given))
    shutil.rmtree(next(keywords["scratch"].glob("seed-0-*")))
    command.main(**keywords)
    assert seen == []
    tasks, _ = unlike_pool
    tasks["task0"] = make_task(0, category="category0", wordings=("Say the colour.", "Which colour is it?"))
    shutil.rmtree(next(keywords["scratch"].glob("seed-0-*")))
    command.main(**keywords)
    assert seen == ["wording", *[None] * 5]


def test_a_bed_that_was_not_measured_is_refused(keywords):
    path = keywords["transfer"] / "seed-1.json"
    matrix = read_json(path)
    write_json(path, matrix | {"settings": matrix["settings"] | {"examples_per_task": 5}})
    with pytest.raises(InputError, match="seed 1 was measured with other settings than seed 0"):
        command.main(**keywords)
    write_json(path, matrix)
    first = keywords["transfer"] / "seed-0.json"
    write_json(first, read_json(first) | {"tasks": {"other": "category0"}})
    with pytest.raises(InputError, match="seed 0: was measured on other tasks"):
        command.main(**keywords)
    shutil.rmtree(keywords["transfer"])
    with pytest.raises(InputError, match="make transfer"):
        command.main(**keywords)


def test_the_operations_of_alignment_by_a_loop():
    pairs, epochs, passes = {"train": 7, "development": 3}, 2, 0
    for _ in range(epochs):
        passes += sum(3 * 2 for _ in range(pairs["train"]))
    for _ in range(epochs + 1):
        passes += 2 * pairs["development"]
    assert alignment_flops(10.5, pairs, epochs, 20) == round(10.5 * (passes + 20))
