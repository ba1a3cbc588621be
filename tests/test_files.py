"""Files and folders appear whole or not at all, also where the disk is full."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
import torch

from instune.bilevel.checkpoint import FoldState
from instune.evaluation.journal import Journal
from instune.files import full_disk, replacing
from instune.results import write_text
from instune.tuning import checkpoint

FULL = Path("/dev/full")  # every write to it fails for lack of room

needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


@pytest.fixture
def no_room(monkeypatch):
    """What is opened for writing under a temporary name lies on a full disk."""
    real = io.open

    def opened(path, mode="r", *arguments, **keywords):
        starved = str(path).endswith(".partial") and "r" not in mode
        return real(FULL if starved else path, mode, *arguments, **keywords)

    monkeypatch.setattr(io, "open", opened)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path):
    with replacing(path) as partial:
        partial.mkdir()
        (partial / "half").touch()
        raise KeyError


def test_a_file_or_folder_takes_the_place_of_the_last_one_or_leaves_it(tmp_path):
    for text in ("old", "new"):
        with replacing(tmp_path / "deep" / "folder") as partial:
            partial.mkdir()
            (partial / text).touch()
        with replacing(tmp_path / "file") as partial:
            partial.write_text(text)
    for name in ("deep/folder", "file"):
        with pytest.raises(KeyError):
            write_half(tmp_path / name)
    assert (names(tmp_path), names(tmp_path / "deep")) == (["deep", "file"], ["folder"])
    assert names(tmp_path / "deep/folder") == ["new"]
    assert (tmp_path / "file").read_text() == "new"


def test_what_a_kill_has_left_under_the_temporary_name_is_no_part_of_the_next_writing(tmp_path):
    (tmp_path / "folder.partial").mkdir()
    (tmp_path / "folder.partial/old").touch()
    (tmp_path / "file.partial").mkdir()
    with replacing(tmp_path / "folder") as partial:
        partial.mkdir()
    write_text(tmp_path / "file", "new")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


def test_a_full_disk_is_told_from_other_errors_however_it_is_wrapped():
    assert full_disk(OSError(errno.ENOSPC, "x", "there")).filename == "there"
    assert full_disk(OSError(errno.EDQUOT, "x"))
    assert full_disk(RuntimeError("I/O error: No space left on device (os error 28)"))
    wrapped = RuntimeError("unexpected pos 704 vs 598")
    wrapped.__context__ = OSError(errno.ENOSPC, "x")
    assert full_disk(wrapped)
    assert full_disk(OSError(errno.EACCES, "no space")) is None
    assert full_disk(None) is None


@needs_full
def test_text_that_does_not_fit_names_its_file_and_leaves_the_old_one(tmp_path, no_room):
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as raised:
        write_text(path, "new")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert (names(tmp_path), path.read_bytes()) == (["report.json"], b"old")


@needs_full
def test_a_checkpoint_that_does_not_fit_leaves_the_last_one_whole(tmp_path, monkeypatch):
    model = torch.nn.Linear(300, 300)
    optimizer, fold = torch.optim.SGD(model.parameters()), tmp_path / "fold0.pt"
    checkpoint.save(tmp_path, model, optimizer, step=2, history=[])
    FoldState(2, [torch.zeros(90_000)]).save(fold)
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: real(FULL if path.name.endswith(".partial") else path, *mode))
    for save, path in (
        (lambda: checkpoint.save(tmp_path, model, optimizer, step=4, history=[]), tmp_path / checkpoint.FILE),
        (lambda: FoldState(4, [torch.zeros(90_000)]).save(fold), fold),
    ):
        with pytest.raises(OSError, match="No space left") as raised:
            save()
        assert raised.value.filename == str(path)
    assert names(tmp_path) == ["fold0.pt", "state.pt"]
    assert checkpoint.load(tmp_path, model, optimizer)[0] == FoldState.load(fold).step == 2


@needs_full
def test_a_journal_that_is_full_names_itself_and_keeps_what_was_answered(tmp_path):
    journal = Journal(tmp_path / "answers.jsonl")
    journal.add({"a": 1})
    journal._file.close()
    with FULL.open("ab", buffering=0) as journal._file, pytest.raises(OSError, match="No space left") as raised:
        journal.add({"b": 2})
    assert raised.value.filename == str(tmp_path / "answers.jsonl")
    assert journal.answers == {"a": 1}
    again = Journal(tmp_path / "answers.jsonl")
    assert again.answers == {"a": 1}
    again.close()
