"""JSON files between stages: whole or not at all, and whatever is wrong with one is told with its name and the way out."""

from __future__ import annotations

import pytest

from instune.errors import InputError
from instune.results import Content, read_json, write_json
from instune.selection.chosen import read_selection


class Kind(Content):
    name: str
    counts: dict[str, int]


def test_nan_is_neither_written_nor_read(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"nll": float("nan")})
    assert not list(tmp_path.iterdir())
    for text in ('{"nll": NaN}', '{"nll": -Infinity}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.json: not valid JSON"):
            read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"name": "a"', "not valid JSON"),
        (b'\xff\xfe{\x00"\x00', "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5_000, "not valid JSON"),
        (b"[]", "not allowed"),
        (b'{"name": "a"}', r"counts: missing"),
        (b'{"name": 3, "counts": {}}', r"name: 3 is not allowed"),
        (b'{"name": "a", "counts": {"x": 1.5}}', r"counts\.x: 1\.5 is not allowed"),
        (b'{"name": "\\ud800", "counts": {}}', "surrogates not allowed"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_name(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json: [\s\S]*{message}[\s\S]*dvc repro"):
        read_json(path, Kind)


def test_a_file_that_is_missing_a_folder_or_a_link_to_itself_is_told_by_name(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing", "folder", "loop"):
        with pytest.raises(InputError, match=f"{name}: .*dvc repro"):
            read_json(tmp_path / name)


def test_further_keys_are_let_through_and_the_value_is_as_it_stands_there(tmp_path):
    value = {"name": "a \U0001f642", "counts": {"x": 1}, "more": [1.5]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", Kind) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"selected": []}, "selected: is empty"),
        ({"targets": {}}, "selected: missing"),
        ({"selected": "task1"}, "selected: 'task1' is not allowed"),
        ({"selected": ["a"], "examples": {"a": [1]}}, r"examples\.a\.0: 1 is not allowed"),
    ],
)
def test_a_selection_that_selects_nothing_or_otherwise_is_refused(tmp_path, content, message):
    write_json(tmp_path / "selection.json", content)
    with pytest.raises(InputError, match=message):
        read_selection(tmp_path / "selection.json")
