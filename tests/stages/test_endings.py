"""How a stage's process ends: by Ctrl-C at any moment, with the process that started it, on a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages import command

ROOT = Path(__file__).parents[2]
SECONDS = 60  # until a process on a busy machine has got as far as it should
HEAD = """
import os, sys, time
from pathlib import Path
from instune.files import replacing
from stages import command
command.start()
"""
WRITING = """
def main():
    with replacing(Path("out")) as partial:
        partial.mkdir()
        Path("ready").touch()
        time.sleep(100)
"""
DEAF = """
def main():
    Path("ready").touch()
    while True:
        try:
            time.sleep(100)
        except KeyboardInterrupt:
            pass
"""


def started(*words: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process in the current folder that finds our packages."""
    known = {name: value for name, value in os.environ.items() if name not in command.STARTERS}
    known["PYTHONPATH"] = os.pathsep.join((".", str(ROOT)))
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *words], env=known | environment, stdout=pipe, stderr=pipe, text=True)


def wait_for(path: str) -> None:
    """Wait until a process has made the file."""
    deadline = time.monotonic() + SECONDS
    while not Path(path).exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Exit status, what it said, and how many seconds it took after a Ctrl-C."""
    wait_for("ready")
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said, time.monotonic() - begin


@pytest.fixture(autouse=True)
def _heeded():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored, and processes inherit that
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_ctrl_c_while_the_libraries_are_imported_ends_the_stage_in_a_line():
    Path("torch.py").write_text("import pathlib, time\npathlib.Path('ready').touch()\ntime.sleep(100)\n")
    status, said, seconds = interrupted(started("-m", "stages.evaluate"))
    assert (status, said) == (130, "\ninterrupted\n")
    assert seconds < 5


def test_ctrl_c_in_the_middle_ends_the_stage_in_a_line_and_takes_back_what_it_was_writing():
    Path("slow.py").write_text(f"{HEAD}{WRITING}command.run(main, [])\n")
    status, said, seconds = interrupted(started("slow.py"))
    assert (status, said) == (130, "\nslow: interrupted; run the same command to go on\n")
    assert seconds < 5
    assert sorted(path.name for path in Path().iterdir()) == ["ready", "slow.py"]


def test_ctrl_c_after_the_end_of_a_stage_says_nothing_and_leaves_it_done():
    late = "import atexit\n\ndef last():\n    Path('ready').touch()\n    time.sleep(100)\n\natexit.register(last)\n"
    Path("slow.py").write_text(f"{HEAD}{late}\ndef main():\n    print('done')\n\ncommand.run(main, [])\n")
    status, said, seconds = interrupted(started("slow.py"))
    assert (status, said) == (0, "")
    assert seconds < 5


def test_a_stage_that_does_not_heed_ctrl_c_ends_all_the_same():
    Path("slow.py").write_text(f"{HEAD}{DEAF}command.run(main, [])\n")
    status, _, seconds = interrupted(started("slow.py"))
    assert status == 130
    assert seconds < command.GRACE + 1


def test_a_stage_ends_with_the_dvc_that_started_it_and_outlives_a_shell():
    Path("slow.py").write_text(f"{HEAD}{WRITING}Path('pid').write_text(str(os.getpid()))\ncommand.run(main, [])\n")
    Path("starter.py").write_text("import subprocess, sys\nsubprocess.run([sys.executable, 'slow.py'])\n")
    for environment, ends in (({"DVC_STAGE": "slow"}, True), ({}, False)):
        starter = started("starter.py", **environment)
        wait_for("ready")
        starter.kill()
        deadline = time.monotonic() + (SECONDS if ends else 3)
        while (alive := running(int(Path("pid").read_text()))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert alive != ends
        if alive:
            os.kill(int(Path("pid").read_text()), signal.SIGKILL)
        starter.communicate()
        Path("ready").unlink()


def running(pid: int) -> bool:
    """Whether there is such a process, and no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_importing_the_stages_leaves_ctrl_c_to_whoever_imports_them():
    process = started("-c", "import signal, stages.check; print(signal.getsignal(2) is signal.default_int_handler)")
    assert process.communicate(timeout=SECONDS)[0] == "True\n"


def test_a_full_disk_is_one_screen_that_names_the_file_and_the_way_out(tmp_path):
    place = tmp_path / "data/models/tuned"

    def starved() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))

    def wrapped() -> None:
        try:
            starved()
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598") from None

    for main in (starved, wrapped):
        with pytest.raises(SystemExit) as stopped:
            command.run(main, [])
        assert stopped.value.code.startswith(f"error: {place}: No space left on device; ")
        assert stopped.value.code.endswith("Make room and run the same command again: it goes on from there.")
        assert len(stopped.value.code.splitlines()) == 2

    def denied() -> None:
        raise OSError(errno.EACCES, "no")

    with pytest.raises(OSError, match="no"):
        command.run(denied, [])
