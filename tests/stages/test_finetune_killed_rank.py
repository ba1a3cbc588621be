"""One of two processes killed ends both, and one alone goes on from what they had done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finetuning import set_params, workspace_of
from killed_rank import STEPS
from safetensors.torch import load_file
from two_processes import ROOT, by_two

from stages import finetune


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    return workspace_of(tiny_pool, model_folder)


def test_one_of_two_killed_ends_both_and_one_alone_goes_on(workspace):
    set_params(checkpoint_every=2)
    finetune.main(**workspace)
    expected, loss = load_file("tuned/model.safetensors"), Path("curves/plots/metrics/train/loss.tsv")
    curve = loss.read_text().splitlines()
    set_params(checkpoint_every=2, learning_rate=1e-9)
    finetune.main(**workspace)
    start = load_file("tuned/model.safetensors")
    set_params(checkpoint_every=2)
    done = by_two(str(ROOT / "tests/killed_rank.py"), "finetune", options=workspace)
    assert done.returncode
    assert "SIGKILL" in done.stderr, done.stderr
    (kept,) = Path(".scratch").rglob("state.pt")
    assert torch.load(kept, weights_only=True)["step"] == 2 < STEPS < len(curve) - 2
    finetune.main(**workspace)
    assert not kept.exists()
    assert len(loss.read_text().splitlines()) == len(curve)
    moved = max((expected[name] - start[name]).abs().max() for name in start)
    found = load_file("tuned/model.safetensors")
    assert all((expected[name] - found[name]).abs().max() < 1e-2 * moved for name in expected)
