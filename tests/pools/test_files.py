"""Files of a raw pool that cannot be opened."""

from __future__ import annotations

import zipfile

import pytest

from instune.errors import InputError
from instune.pools.files import walk
from instune.pools.problems import Problems


def read(folder, *, strict=False):
    problems = Problems(folder, strict=strict)
    return [(name, file.read()) for name, file in walk(folder, r"[^/]+\.json", problems)], problems


def test_a_file_that_cannot_be_opened_is_a_bad_record_and_the_walk_goes_on(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.json").write_text(name)
    whole = type(tmp_path).open

    def refuse(path, *args, **keywords):
        if path.name == "b.json":
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **keywords)

    monkeypatch.setattr(type(tmp_path), "open", refuse)
    found, problems = read(tmp_path)
    assert found == [("a.json", b"a"), ("c.json", b"c")]
    assert (problems.counts, problems.first) == ({"not readable": 1}, {"not readable": "b.json"})
    with pytest.raises(InputError, match=r"b\.json: not readable"):
        read(tmp_path, strict=True)


def test_a_broken_member_of_a_zip_is_a_bad_record_and_the_walk_goes_on(tmp_path):
    with zipfile.ZipFile(tmp_path / "pool.zip", "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.json", name)
        place = archive.getinfo("b.json").header_offset
    stored = bytearray((tmp_path / "pool.zip").read_bytes())
    stored[place : place + 4] = b"none"
    (tmp_path / "pool.zip").write_bytes(stored)
    found, problems = read(tmp_path)
    assert found == [("a.json", b"a"), ("c.json", b"c")]
    assert problems.first == {"not readable": "b.json"}
