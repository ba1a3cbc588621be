"""What of a journal stands after it was cut off or changed."""

import pytest

from instune.errors import InputError
from instune.evaluation.journal import Journal

ANSWERS = {"a": {"value": -0.1, "text": "één"}, "b": [-2.5, True], "c": None}


def reopened(path):
    journal = Journal(path)
    journal.close()
    return journal.answers


def written(path):
    journal = Journal(path)
    for key, answer in ANSWERS.items():
        journal.add({key: answer})
    journal.close()
    return path.read_bytes()


def test_answers_come_back_as_they_were_given(tmp_path):
    written(tmp_path / "journal.jsonl")
    assert reopened(tmp_path / "journal.jsonl") == ANSWERS


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:-1],
        lambda line: line.replace(b"-2.5", b"-2.4"),
        lambda line: line.replace(b'"b"', b'"d"'),
        lambda line: b"5\n",
        lambda line: b"[" * 100_000 + b"\n",
        lambda line: b'{"key": "b", "answer": 1}\n',
        lambda line: b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_not_as_it_was_written_goes_with_all_behind_it(tmp_path, change):
    path = tmp_path / "journal.jsonl"
    first, second, third = written(path).splitlines(keepends=True)
    path.write_bytes(first + change(second) + third)
    assert reopened(path) == {"a": ANSWERS["a"]}
    assert path.read_bytes() == first


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(InputError, match=r"cannot be opened .* Delete the folder"):
        Journal(tmp_path / "journal.jsonl")
