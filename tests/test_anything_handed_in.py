"""Every file that a user hands in, broken with a seed: success or one screen, no traceback, no hang, no write elsewhere."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mutation_cases import CASES, Case, fill
from mutations import ALL_KINDS

MUTATIONS = int(os.environ.get("MUTATIONS", "5"))  # of each kind of file
FIRST = int(os.environ.get("FIRST_MUTATION", "0"))
SECONDS, MEMORY = 60, 6 * 2**30
ALLOWED = ("data", "reports", ".scratch")
CACHE = "cache/"


class Hung(BaseException):
    """Not over in time."""


@contextmanager
def bounded() -> Iterator[None]:
    """At most so many seconds, and so much memory that a huge number cannot take the machine's."""

    def late(*_: object) -> None:
        raise Hung

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    former = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        signal.signal(signal.SIGALRM, former)


def listed(top: Path) -> dict[str, tuple[int, int]]:
    """Every file below: size and time of the last change."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            facts = path.lstat()
            found[path.relative_to(top).as_posix()] = (facts.st_size, facts.st_mtime_ns)
    return found


def fault(message: object) -> str | None:
    """What is wrong with a refusal."""
    if not isinstance(message, str) or not message.startswith("error: "):
        return f"exit without a message: {message!r}"
    if len(message) > 4000 or len(message.splitlines()) > 40:
        return f"a message of {len(message)} characters and {len(message.splitlines())} lines: {message[:200]!r}"
    return None if message.isprintable() or set(filter(lambda c: not c.isprintable(), message)) <= {"\n"} else f"{message!r}"


def outcome(stage: Callable[[], None]) -> tuple[str, str | None]:
    """`whole`, `refused` or `broken`, and what is wrong."""
    try:
        with bounded():
            stage()
    except SystemExit as end:
        wrong = fault(end.code)
        return "refused" if wrong is None else "broken", wrong or str(end.code)
    except Hung:
        return "broken", "hangs: " + "".join(traceback.format_exc().splitlines(keepends=True)[-6:])
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in last if "/instune/" in frame.filename]
        return "broken", f"{type(error).__name__}: {str(error)[:150]!r} at {' < '.join(ours[::-1][:3])}"
    return "whole", None


def broken(whole: Path, place: Path, case: Case, number: int) -> tuple[str, str]:
    """One mutation: how it ended, and what is to be said of it."""
    shutil.copytree(whole, place, symlinks=True)
    os.chdir(place)
    files = sorted({path for pattern in case.files for path in Path().glob(pattern)})
    draw = random.Random(number)
    path, kind = draw.choice(files), draw.choice(ALL_KINDS)
    kind(path, draw)
    before = listed(place.parent)
    ended, wrong = outcome(case.stage)
    after = listed(place.parent)
    new = {name for name, facts in after.items() if before.get(name) != facts} | (before.keys() - after.keys())
    allowed = (CACHE, *(f"{place.name}/{part}/" for part in ALLOWED))
    outside = sorted(name for name in new if not name.startswith(allowed))
    halves = [name for name in new & after.keys() if ".partial" in name]
    if outside or halves:
        ended, wrong = "broken", f"writes {outside} {halves}, {wrong}"
    os.chdir(place.parent)
    shutil.rmtree(place)
    return ended, f"{number} {kind.__name__} {path}: {wrong}"


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_refused_on_one_screen_or_does_no_harm(tmp_path, monkeypatch, model_folder, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / CACHE))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    whole, case = tmp_path / "whole", CASES[name]
    whole.mkdir()
    monkeypatch.chdir(whole)
    fill(model_folder)
    case.make()
    shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert outcome(case.stage) == ("whole", None)
    ends = [broken(whole, tmp_path / "work", case, number) for number in range(FIRST, FIRST + MUTATIONS)]
    print(name, dict(Counter(end for end, _ in ends)))
    findings = [said for end, said in ends if end == "broken"]
    assert not findings, "\n".join(findings)
    assert MUTATIONS < 100 or any(end == "refused" for end, _ in ends)


def test_on_the_command_line_a_broken_file_is_exit_code_1_and_its_message_alone(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"seed: [" * 3000)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "stages.playground", "--out", "data/raw/playground"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: params.yaml: is nested too deeply")
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
