"""Sweeps in a small repository of Git and DVC: what runs, what does not, kills, failures, and the user's files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from sweep_repository import PARAMS, call, commit, make, run, stage_runs, start, summary, write_sweep, write_yaml

PLAIN, GOOD, LAST = ({"select.method": name} for name in ("plain", "good", "last"))


@pytest.fixture
def repository(tmp_path) -> Path:
    return make(tmp_path)


def until_running(repository: Path, which: str) -> None:
    """Wait until the stage has been started for this arm."""
    deadline = time.monotonic() + 60
    while which not in stage_runs(repository):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def references(repository: Path) -> list[str]:
    return run(repository, "git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split()


def test_all_arms_run_a_failing_one_stops_no_other_and_what_is_there_is_not_run_again(repository):
    arms = {"plain": PLAIN, "broken": {"select.method": "fails"}, "good": GOOD}
    write_sweep(repository, "one", arms)
    (repository / "unrelated.txt").write_text("mine, not committed\n")
    write_yaml(repository / "params.yaml", {**PARAMS, "seed": 7})
    before = run(repository, "git", "diff"), run(repository, "git", "rev-parse", "HEAD")
    status, said = call(repository, "one")
    assert status == 1
    assert "one-broken-s0 FAILED" in said
    assert "error: there is no such method" in said
    assert "0 of 3 experiments are there, 3 to run" in said
    assert stage_runs(repository) == ["train plain", "score plain", "train fails", "train good", "score good"]
    assert sorted(references(repository)) == ["one-good-s0", "one-plain-s0"]
    found = summary(repository, "one")
    assert found["missing"] == {"one-broken-s0": "failed"}
    assert found["arms"]["good"]["measures"]["nll"]["minus_baseline"]["mean"] == -0.5
    assert found["arms"]["good"]["tokens"] == {"mean": 2000, "least": 2000, "most": 2000}  # 1000 of an epoch, two epochs
    assert (run(repository, "git", "diff"), run(repository, "git", "rev-parse", "HEAD")) == before
    assert run(repository, "git", "stash", "list") == ""
    assert run(repository, "git", "status", "--porcelain").split("\n")[:-1] == [
        " M params.yaml",
        " M unrelated.txt",
        "?? reports/",
        "?? sweeps/",
    ]
    write_sweep(repository, "one", {**arms, "broken": LAST})  # mended; and a commit that the results do not depend on
    commit(repository, "something else")
    status, said = call(repository, "one")
    assert status == 0, said
    assert "2 of 3 experiments are there, 1 to run" in said
    assert stage_runs(repository)[5:] == ["train last", "score last"]
    status, said = call(repository, "one")
    assert (status, stage_runs(repository)[7:]) == (0, [])
    assert "3 of 3 experiments are there, 0 to run" in said
    assert summary(repository, "one")["missing"] == {}
    assert not (repository / ".scratch/sweeps/one/clone").exists()


def test_a_killed_sweep_goes_on_in_the_middle_of_a_stage_and_repeats_none(repository):
    write_sweep(repository, "two", {"plain": PLAIN, "good": GOOD})
    for stage in ("train", "score"):
        wait = repository.parent / f"outside/wait-{stage}-good"
        wait.touch()
        process = start(repository, "two")
        until_running(repository, f"{stage} good")
        os.killpg(process.pid, signal.SIGKILL)  # the tool, dvc and the stage
        process.wait()
        assert references(repository) == ["two-plain-s0"]
        wait.unlink()
    status, said = call(repository, "two")
    assert status == 0, said
    assert "1 of 2 experiments are there, 1 to run" in said
    assert stage_runs(repository)[2:] == ["train good", "train good resumed", "score good", "score good resumed"]
    assert sorted(references(repository)) == ["two-good-s0", "two-plain-s0"]


def test_an_experiment_that_outlives_the_killed_tool_is_waited_for_and_used(repository):
    write_sweep(repository, "three", {"plain": PLAIN})
    wait = repository.parent / "outside/wait-train-plain"
    wait.touch()
    process = start(repository, "three")
    until_running(repository, "train plain")
    os.kill(process.pid, signal.SIGKILL)  # the tool alone
    process.wait()
    again = start(repository, "three")
    assert again.stdout is not None
    assert "still running; waiting" in again.stdout.readline()
    wait.unlink()
    said, _ = again.communicate(timeout=100)
    assert again.returncode == 0, said
    assert stage_runs(repository) == ["train plain", "score plain"]
    assert references(repository) == ["three-plain-s0"]


def test_changed_code_and_changed_parameters_run_anew_and_uncommitted_code_is_refused(repository):
    write_sweep(repository, "four", {"plain": PLAIN})
    assert call(repository, "four")[0] == 0
    work = repository / "code/work.py"
    work.write_text(work.read_text().replace("1.0", "3.0"))
    status, said = call(repository, "four")
    assert status == 1
    assert "code/work.py: changed and not committed" in said
    commit(repository, "another value")
    status, said = call(repository, "four")
    assert status == 0, said
    assert "four-plain-s0: there with other code: code/work.py" in said
    assert summary(repository, "four")["arms"]["plain"]["measures"]["nll"]["by_seed"] == {"0": 4.0}
    write_yaml(repository / "profiles/made.yaml", {**PARAMS, "finetune": {"epochs": 3}})
    status, said = call(repository, "four")
    assert "four-plain-s0: there with other parameters" in said
    assert summary(repository, "four")["arms"]["plain"]["tokens"]["mean"] == 3000
    assert stage_runs(repository) == ["train plain", "score plain"] * 2  # no stage reads the number of epochs


def test_a_full_disk_stops_the_sweep_and_no_other_experiment_starts(tmp_path):
    repository = make(tmp_path)
    write_sweep(repository, "one", {"full": {"select.method": "full"}, "plain": {}})
    status, said = call(repository, "one")
    assert status == 1
    assert "the disk is full" in said
    assert stage_runs(repository) == ["train full"]
