"""Locks of devices: two processes never hold one at a time, who waits is told for whom, and a CPU is not locked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from instune import devices
from instune.devices import alone, held, visible_devices
from stages.command import run

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from pathlib import Path
from instune.devices import held
with held(sys.argv[2].split(","), sys.argv[3], Path(sys.argv[1])):
    print("held", *(path.name for path in Path(sys.argv[1]).glob("*.free")), flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


def start(folder: Path, ids: str, what: str) -> subprocess.Popen[str]:
    """A process that holds devices until it reads a line."""
    command = [sys.executable, "-c", HOLD, str(folder), ids, what]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> str:
    return process.communicate("\n", timeout=60)[0]


def test_a_second_process_waits_and_says_for_whom_and_an_error_releases(tmp_path):
    with suppress(ValueError), held(["GPU-a", "GPU-b"], "finetune", tmp_path):
        second = start(tmp_path, "GPU-b", "evaluate")
        assert line(second) == f"evaluate: waiting for GPU GPU-b, held by finetune (process {os.getpid()})"
        (tmp_path / "now.free").touch()
        raise ValueError
    assert line(second) == "held now.free"
    end(second)
    assert not list(tmp_path.glob("*.holder"))


def test_other_devices_are_free_and_a_killed_process_leaves_no_lock(tmp_path, capsys):
    first = start(tmp_path, "GPU-a", "finetune")
    assert line(first) == "held"
    with held(["GPU-b"], "embed", tmp_path):
        first.kill()
        first.wait()
    with held(["GPU-a"], "evaluate", tmp_path):
        assert capsys.readouterr().out == ""  # no waiting, whatever the dead one has left beside its lock


def test_on_a_cpu_nothing_is_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "lock_folder", lambda: tmp_path / "locks")
    with alone("finetune"):
        assert not (tmp_path / "locks").exists()


def test_a_gpu_is_known_by_its_uuid_and_the_first_process_of_a_launch_answers_for_all(monkeypatch):
    class Properties:
        def __init__(self, uuid: str) -> None:
            self.uuid = uuid

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: Properties(f"uuid-{place}"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert visible_devices() == ["uuid-0", "uuid-1"]
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert visible_devices() == ["uuid-0", "uuid-1"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert visible_devices() == []


def test_a_stage_runs_within_the_context_of_its_name(tmp_path):
    seen = []

    @contextmanager
    def context(name: str):
        seen.append(name)
        yield
        seen.append("left")

    def main(*, out: Path) -> None:
        seen.append(out)

    run(main, ["--out", "x"], within=context)
    assert seen == ["test_devices", Path("x"), "left"]


def test_every_stage_that_loads_a_model_locks_and_no_other():
    locking = {path.stem for path in (ROOT / "stages").glob("*.py") if "run(main, within=alone)" in path.read_text()}
    loads = re.compile(r"\b(load_model|pick_device)\(|\bencoder\.\w+\(")
    loading = {path.stem for path in (ROOT / "stages").glob("*.py") if loads.search(path.read_text())}
    assert locking == loading
