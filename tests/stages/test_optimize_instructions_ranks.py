"""The stage in two processes, started as DESIGN says, goes on from one process's checkpoint and ends where one would have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from optimizing import content, paths_of, write_params

from instune.bilevel.artefact import load_artefact
from instune.bilevel.checkpoint import FoldState
from instune.results import read_json
from stages import optimize_instructions

ROOT = Path(__file__).parents[2]
SECONDS = 90
STEPS = {"outer_steps": 3, "batch_size": 3, "meta_batch_size": 3, "product": "double_backward"}
STEPS |= {"folds": 3, "validation": {"rows": 5, "every": 1, "patience": 9}}  # no number of rows is even


def run_by_two(paths: dict[str, Path]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    environment = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "TORCH_DISTRIBUTED_DEBUG": "OFF",
    }
    return subprocess.run(
        [*command, "-m", "stages.optimize_instructions", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | environment,
    )


class Killed(Exception):
    """What stops a run in the middle."""


def killed_at(monkeypatch, step: int, paths: dict[str, Path]) -> None:
    """Run in this process until so many outer steps are done and kept."""
    real = FoldState.save

    def save(self, path):
        real(self, path)
        if self.step == step:
            raise Killed

    monkeypatch.setattr(FoldState, "save", save)
    with pytest.raises(Killed):
        optimize_instructions.main(**paths)
    monkeypatch.undo()


def test_two_processes_go_on_from_a_checkpoint_and_end_where_one_does(tmp_path, monkeypatch, tiny_pool, model_folder):
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        paths = paths_of(tiny_pool, model_folder)
        write_params("embedder_direct", **STEPS)
        optimize_instructions.main(**paths)
        alone, report, curves = load_artefact(paths["out"]), read_json(paths["report"]), content(paths["curves"])
        write_params("embedder_direct", **STEPS | {"outer_learning_rate": 1e-12})
        optimize_instructions.main(**paths)
        start = load_artefact(paths["out"]).tensors["soft_prompts"]
        write_params("embedder_direct", **STEPS)
        with monkeypatch.context() as killing:
            killed_at(killing, 1, paths)
        assert list(Path(".scratch").rglob("fold0.pt"))
        done = run_by_two(paths)
        assert done.returncode == 0, done.stderr[-3000:]
        found, by_two = load_artefact(paths["out"]), read_json(paths["report"])
        assert done.stdout.count("embedder_direct for 5 tasks") == 1  # one rank speaks
        assert [done.stderr.count(f"fold{number}:   0%") for number in range(3)] == [0, 1, 1]  # nor began fold 0 anew
        assert not list(Path(".scratch").rglob("*.pt"))
        assert sorted(content(paths["curves"])) == sorted(curves)
    moved = (alone.tensors["soft_prompts"] - start).norm()
    assert (found.tensors["soft_prompts"] - alone.tensors["soft_prompts"]).norm() < 1e-2 * moved
    for one, two in zip(report["folds"], by_two["folds"], strict=True):
        assert two["meta_test"] == one["meta_test"]
        for end in ("first", "last"):
            for name in ("outer_loss", "inner_loss", "inner_gradient_norm"):
                assert two[end][name] == pytest.approx(one[end][name], rel=1e-5)
            assert two[end]["hypergradient_norm"] == pytest.approx(one[end]["hypergradient_norm"], rel=1e-3)
        assert two["validation"]["last"] == pytest.approx(one["validation"]["last"], rel=1e-5)
    assert torch.isfinite(found.tensors["soft_prompts"]).all()
