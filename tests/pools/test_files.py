"""Files of a raw pool that cannot be opened, or that are too large, or whose names are no names."""

from __future__ import annotations

import gzip
import tarfile
import zipfile

import pytest

from instune.errors import InputError
from instune.pools import files
from instune.pools.files import content, lines, natural_key, walk
from instune.pools.problems import BadRecord, Problems


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


def test_a_line_beyond_the_limit_is_left_out_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LIMIT", 2**20)
    (tmp_path / "a.json").write_bytes(b"first\n" + b"x" * 2**20 * 3 + b"y\nnext\n" + b"x" * 2**20 + b"\nlast\n" + b"x" * 2**22)
    (tmp_path / "b.json").write_bytes(b"x" * (2**20 - 1) + b"\nlast")
    problems = Problems(tmp_path, strict=False)
    found = [place for name, file in walk(tmp_path, r"[^/]+\.json", problems) for place, _ in lines(file, name, problems)]
    assert found == ["a.json: line 1", "a.json: line 3", "a.json: line 5", "b.json: line 1", "b.json: line 2"]
    assert problems.counts == {"line of more than 1 MiB": 3}
    assert problems.first == {"line of more than 1 MiB": "a.json: line 2"}


def test_a_small_file_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LIMIT", 2**22)
    for size in (2**22, 2**22 + 1):
        (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"x" * size))
        for _, file in walk(tmp_path, r"[^/]+\.json\.gz", Problems(tmp_path, strict=True)):
            if size == 2**22:
                assert len(content(file)) == size
            else:
                with pytest.raises(BadRecord, match="more than 4 MiB in one piece"):
                    content(file)


def test_a_link_in_an_archive_is_a_bad_record(tmp_path):
    with tarfile.open(tmp_path / "pool.tar", "w") as archive:
        for name, kind in (("a.json", tarfile.SYMTYPE), ("b.json", tarfile.LNKTYPE), ("note.txt", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
    found, problems = read(tmp_path)
    assert (found, problems.counts) == ([], {"not readable": 2})
    with pytest.raises(InputError, match="links in archives are not followed"):
        read(tmp_path, strict=True)


@pytest.mark.parametrize("name", ["a\nb.json", "\udce9.json"])
def test_a_file_name_that_cannot_be_shown_is_a_bad_record(tmp_path, name):
    with tarfile.open(tmp_path / "pool.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
        archive.addfile(tarfile.TarInfo("\u4f60.json"))
    found, problems = read(tmp_path)
    assert [place for place, _ in found] == ["\u4f60.json"]
    assert problems.counts == {"file name: not printable": 1}


def test_numbers_in_names_are_compared_as_numbers_of_any_length():
    names = ["task2", "task10", "task9_b", "task9", "task" + "9" * 5_000, "task1" + "0" * 5_000, "\u0667", "task010"]
    in_order = ["task2", "task9", "task9_b", "task10", "task010", "task" + "9" * 5_000, "task1" + "0" * 5_000, "\u0667"]
    assert sorted(names, key=natural_key) == in_order


HIDDEN = [
    "._x.json",
    ".ipynb_checkpoints/x.json",
    "__MACOSX/._x.json",
    "a/.git/x.json",
    "dataset_infos.json",
    "dataset_info.json",
]


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_files_are_not_looked_at(tmp_path, packed):
    archive = zipfile.ZipFile(tmp_path / "POOL.ZIP", "w") if packed else None
    for name in [*HIDDEN, "x.json", "a/x.json"]:
        if archive:
            archive.writestr(name, "{")
        else:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("{")
    if archive:
        archive.close()
        (tmp_path / "._POOL.ZIP").write_bytes(b"of an archiver")
    found, problems = read(tmp_path, strict=True)
    assert ([name for name, _ in found], problems.counts) == (["a/x.json", "x.json"], {})
    assert files.seen(tmp_path) == ["a/x.json", "x.json"]


def test_a_hidden_file_is_no_sign_of_a_layout(tmp_path):
    (tmp_path / "._x.json").write_text("")
    assert not files.holds(tmp_path, r"[^/]*x\.json")
