"""One of two processes killed ends both, and one alone goes on from what they had done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
import torch
from finetuning import set_params, workspace_of
from killed_rank import STEPS
from safetensors.torch import load_file

from stages import finetune

ROOT = Path(__file__).parents[2]
SECONDS = 240  # for the libraries of two processes on a busy machine; the group's own patience is a week


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    return workspace_of(tiny_pool, model_folder)


def by_two(workspace: dict[str, Path]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = [text for name, path in workspace.items() for text in (f"--{name}", str(path))]
    environment = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    program = str(ROOT / "tests/killed_rank.py")
    with subprocess.Popen(
        [*command, program, *options], env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as launcher:
        try:
            said, _ = launcher.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # not killed: so it ends its workers
            raise
    return subprocess.CompletedProcess(command, launcher.returncode, said)


def test_one_of_two_killed_ends_both_and_one_alone_goes_on(workspace):
    set_params(checkpoint_every=2)
    finetune.main(**workspace)
    expected, loss = load_file("tuned/model.safetensors"), Path("curves/plots/metrics/train/loss.tsv")
    curve = loss.read_text().splitlines()
    set_params(checkpoint_every=2, learning_rate=1e-9)
    finetune.main(**workspace)
    start = load_file("tuned/model.safetensors")
    set_params(checkpoint_every=2)
    begin = monotonic()
    done = by_two(workspace)
    assert done.returncode
    assert "SIGKILL" in done.stdout, done.stdout
    assert monotonic() - begin < SECONDS
    (kept,) = Path(".scratch").rglob("state.pt")
    assert torch.load(kept, weights_only=True)["step"] == 2 < STEPS < len(curve) - 2
    finetune.main(**workspace)
    assert not kept.exists()
    assert len(loss.read_text().splitlines()) == len(curve)
    moved = max((expected[name] - start[name]).abs().max() for name in start)
    found = load_file("tuned/model.safetensors")
    assert all((expected[name] - found[name]).abs().max() < 1e-2 * moved for name in expected)
