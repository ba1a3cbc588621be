import subprocess
from pathlib import Path
from random import Random

import pytest
from dvc.dvcfile import Lockfile
from dvc.repo import Repo

from tools.mend_locks import HELD, LOCK, main, readable

ROOT = Path(__file__).parents[2]
WHOLE = (ROOT / LOCK).read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    (tmp_path / HELD).parent.mkdir(parents=True)
    (tmp_path / HELD).write_text('{"read": {}}')
    (tmp_path / LOCK).write_text(WHOLE, encoding="utf-8")
    for words in (["init", "-q"], ["add", LOCK.name], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_whole_files_stay_as_they_are(root):
    (root / LOCK).write_text(WHOLE + "# mine\n", encoding="utf-8")
    assert main(root) == []
    assert (root / LOCK).read_text(encoding="utf-8").endswith("# mine\n")
    assert (root / HELD).exists()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.77, 0.93])
def test_a_lock_that_was_cut_off_comes_back_from_the_last_commit(root, share):
    cut = WHOLE[: round(share * len(WHOLE))].rpartition("- path:")[0] + "- pa"
    (root / LOCK).write_text(cut, encoding="utf-8")
    assert not readable(cut)
    assert main(root) == [f"{LOCK}: cut off: taken from the last commit. DVC's run cache knows what ran since."]
    assert (root / LOCK).read_text(encoding="utf-8") == WHOLE


def test_whatever_is_left_of_a_lock_dvc_can_read_it_afterwards(root):
    draw = Random(0)
    for end in [draw.randrange(len(WHOLE)) for _ in range(12)]:
        (root / LOCK).write_text(WHOLE[:end], encoding="utf-8")
        main(root)
        assert Lockfile(Repo(str(root), uninitialized=True), str(root / LOCK)).load() is not None


def test_a_conflict_of_a_merge_is_left_to_its_owner(root):
    text = WHOLE.replace("stages:", "<<<<<<< HEAD\nstages:\n=======\nstages:\n>>>>>>> other", 1)
    (root / LOCK).write_text(text, encoding="utf-8")
    assert not readable(text)
    assert main(root) == []
    assert (root / LOCK).read_text(encoding="utf-8") == text


def test_without_a_commit_a_broken_lock_is_deleted(tmp_path):
    (tmp_path / LOCK).write_text("schema: '2.0'\nstages:\n  a:\n    cm")
    assert "deleted" in main(tmp_path)[0]
    assert not (tmp_path / LOCK).exists()
    assert main(tmp_path) == []


def test_a_broken_file_of_held_locks_is_deleted(root):
    (root / HELD).write_text('{"read": {"/a/b": [{"pi')
    assert main(root) == [f"{HELD}: cut off: deleted."]
    assert not (root / HELD).exists()
