"""A stage's command line: a path per keyword, user errors on one screen, defects with their traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from instune.errors import InputError
from stages.command import run, screen


def test_every_keyword_becomes_an_option():
    seen = {}

    def main(*, out: Path, base_model: Path) -> None:
        seen.update(out=out, base_model=base_model)

    run(main, ["--out", "a/b", "--base-model", "c"])
    assert seen == {"out": Path("a/b"), "base_model": Path("c")}


def test_a_user_error_is_one_message_and_a_defect_keeps_its_traceback():
    def wrong() -> None:
        raise InputError("file x: record 3: broken")

    def defect() -> None:
        raise KeyError("x")

    with pytest.raises(SystemExit) as stopped:
        run(wrong, [])
    assert stopped.value.code == "error: file x: record 3: broken"
    with pytest.raises(KeyError):
        run(defect, [])


def test_a_message_is_one_screen_of_printable_characters_and_keeps_its_last_line():
    assert screen("error: file x\n  mend it") == "error: file x\n  mend it"
    shown = screen("a" * 100_000 + "\x1b[2J\x00\ud800\n" + "line\n" * 500 + "mend it")
    assert len(shown) <= 4000
    assert len(shown.splitlines()) <= 40
    assert shown.endswith("\n  ...\nmend it")
    assert "\\x1b[2J\\x00\\ud800" in shown
    assert len(screen("\n".join(["b" * 390] * 29))) <= 4000
