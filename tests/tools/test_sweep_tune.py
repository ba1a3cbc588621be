"""Tuning inside a sweep: which value is chosen, what runs again, and what is said."""

from __future__ import annotations

import pytest
from sweep_repository import PARAMS, call, commit, make, stage_runs, summary, write_sweep, write_yaml

from instune.errors import InputError
from tools.sweep.measures import measured
from tools.sweep.table import table

TUNE = {
    "key": "select.rate",
    "values": [1, 3, 9],
    "stage": "train",
    "report": "reports/finetune.json",
    "measure": "folds.*.loss",
    "arms": ["good"],
}
ARMS = {"plain": {"select.method": "plain"}, "good": {"select.method": "good"}}


@pytest.fixture
def repository(tmp_path):
    repository = make(tmp_path)
    write_yaml(repository / "profiles/made.yaml", PARAMS | {"select": {"method": "plain", "rate": 1}})
    return repository


def test_each_value_is_tried_as_far_as_its_stage_and_the_arm_runs_with_the_best(repository):
    figures = {
        "loss": {"report": "reports/finetune.json", "measure": "folds.*.loss"},
        "none": {"report": "reports/scores.json", "measure": "x"},
    }
    write_sweep(repository, "one", ARMS, tune=[TUNE], figures=figures)
    status, said = call(repository, "one")
    assert status == 0, said
    # rate 3 has been trained by its trial: DVC's run cache knows it
    assert stage_runs(repository) == ["train good", "train good", "train good", "train plain", "score plain", "score good"]
    found = summary(repository, "one")
    # folds want 2 and 4, the arm adds 0.5: the means of |rate - best| are 2, 1 and 6
    trials = [[1, 2.5], [3, 1.5], [9, 6.5]]
    assert found["tuned"] == {"good": {"select.rate": {"chosen": 3, "trials": trials}}}
    assert "- select.rate, tuned on validation tasks under the first seed: good 3." in table(found)
    assert found["arms"]["good"]["figures"] == {"loss": {"mean": 1.5, "least": 1.5, "most": 1.5}}
    (row,) = [line for line in table(found).splitlines() if line.startswith("| good |")]
    assert row.endswith("| 1.500 | - |")
    status, said = call(repository, "one")
    assert (status, len(stage_runs(repository))) == (0, 6)


def test_other_code_tries_again_and_a_value_at_the_edge_is_marked(repository):
    write_sweep(repository, "one", ARMS, tune=[TUNE | {"values": [3, 9]}])
    assert call(repository, "one")[0] == 0
    assert "good 3*." in table(summary(repository, "one"))
    work = repository / "code/work.py"
    work.write_text(work.read_text().replace("(2, 4)", "(8, 10)"))
    commit(repository, "other losses")
    assert call(repository, "one")[0] == 0
    assert summary(repository, "one")["tuned"]["good"]["select.rate"]["chosen"] == 9
    assert stage_runs(repository).count("train good") == 4


def test_a_value_that_fails_is_not_chosen_and_a_parameter_of_which_all_fail_is_refused(repository):
    tune = TUNE | {"key": "select.method", "arms": ["plain"]}
    write_sweep(repository, "one", {"plain": {}}, tune=[tune | {"values": ["fails", "last"]}])
    status, said = call(repository, "one")
    assert status == 0, said
    assert "FAILED and is not chosen" in said
    trials = summary(repository, "one")["tuned"]["plain"]["select.method"]
    assert (trials["chosen"], trials["trials"][0]) == ("last", ["fails", None])
    write_sweep(repository, "two", {"plain": {}}, tune=[tune | {"values": ["fails", "fails"]}])
    status, said = call(repository, "two")
    assert status == 1
    assert "select.method: every value of ['fails', 'fails'] failed in arm plain" in said


@pytest.mark.parametrize(
    ("kind", "sayings"),
    [
        ("full", ["the disk is full", "data/model: No space left on device"]),
        ("killed", ["one-plain-select-method-1 was killed or broke, which says nothing about its value", "train, exited with"]),
    ],
)
def test_a_full_disk_or_a_kill_fails_no_value_but_stops_the_sweep_which_goes_on_where_it_was(repository, kind, sayings):
    write_sweep(
        repository, "one", {"plain": {}}, tune=[TUNE | {"key": "select.method", "arms": ["plain"], "values": ["last", kind]}]
    )
    status, said = call(repository, "one")
    assert status == 1
    assert all(saying in said for saying in sayings), said
    assert "FAILED" not in said
    assert stage_runs(repository) == ["train last", f"train {kind}"]
    (repository.parent / "outside/room").touch()
    status, said = call(repository, "one")
    assert status == 0, said
    assert stage_runs(repository)[2:] == [f"train {kind}", f"score {kind}"]  # the first value's trial was kept
    assert summary(repository, "one")["tuned"]["plain"]["select.method"]["chosen"] == kind


def test_a_trial_that_breaks_with_a_traceback_stops_the_sweep_too(repository):
    tune = TUNE | {"key": "select.method", "arms": ["plain"], "values": ["breaks", "last"]}
    write_sweep(repository, "one", {"plain": {}}, tune=[tune])
    status, said = call(repository, "one")
    assert status == 1
    assert "MemoryError: no room in this box" in said


def test_what_a_report_does_not_have_is_told_with_what_it_has():
    assert measured({"a": [{"b": 1.0}, {"b": 3.0}], "c": 5}, "a.*.b") == 2.0
    assert measured({"a": {"x": 1.0, "y": 2.0}}, "a.*") == 1.5
    with pytest.raises(InputError, match=r"there is no 'd' of 'd' in the report. There: a, c"):
        measured({"a": [], "c": 5}, "d")
    with pytest.raises(InputError, match="There: list"):
        measured({"a": []}, "a.*.b")
