"""Hub datasets, with the Hub replaced by what it answers."""

from __future__ import annotations

import datasets
import pytest
from huggingface_hub import constants
from pydantic import ValidationError

from instune.errors import InputError
from instune.pools import hub
from instune.pools.problems import Problems

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = {"reader": "hub", "dataset": "GAIR/lima", "subset": None, "split": "train", "revision": COMMIT, "rows": "chat"}


def read(tmp_path, **changes):
    settings = hub.Hub(**SETTINGS | changes).model_dump(exclude={"reader"})
    problems = Problems(tmp_path, strict=False)
    return list(hub.read(tmp_path, pool="p", problems=problems, **settings)), problems


def answer(monkeypatch, *rows):
    asked = []

    def load_dataset(*args, **kwargs):
        asked.append((args, kwargs))
        return datasets.Dataset.from_list(list(rows))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_conversations_are_read_at_the_commit(tmp_path, monkeypatch):
    asked = answer(monkeypatch, {"prompt": " a\r\n", "completion": "b"}, {"prompt": None, "completion": "b"})
    [(task, examples)], problems = read(tmp_path)
    assert asked == [(("GAIR/lima", None), {"split": "train", "revision": COMMIT})]
    assert (task.task_id, [example.input for example in examples]) == ("p:lima", [" a\r\n"])
    [(reason, place)] = problems.first.items()
    assert (reason.startswith("keys: expected messages"), place) == (True, "GAIR/lima: row 1")


def test_rows_of_ones_own_tasks_are_read(tmp_path, monkeypatch):
    answer(monkeypatch, {"task": "t", "instruction": "i", "input": "x", "output": "y"})
    [(task, _)], _ = read(tmp_path, rows="plain")
    assert (task.task_id, task.definition) == ("p:t", "i")


@pytest.mark.parametrize(
    ("error", "offline", "message"),
    [
        (ConnectionError("x"), True, "HF_HUB_OFFLINE is set"),
        (ConnectionError("x"), False, "ConnectionError; try again"),
        (datasets.exceptions.DatasetNotFoundError("x"), False, "no such dataset or revision"),
        (ValueError("Unknown split 'x'"), False, "Unknown split 'x'"),
        (RuntimeError("Dataset scripts are no longer supported"), False, "scripts are no longer supported"),
    ],
)
def test_each_failure_has_one_message(tmp_path, monkeypatch, error, offline, message):
    def load_dataset(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path)
    assert "GAIR/lima (default, train) at 01234567" in str(raised.value)


@pytest.mark.parametrize(
    "change", [{"revision": "main"}, {"revision": COMMIT[:7]}, {"dataset": "../x"}, {"dataset": "/etc/passwd"}]
)
def test_a_branch_and_a_path_are_refused(change):
    with pytest.raises(ValidationError):
        hub.Hub(**SETTINGS | change)
