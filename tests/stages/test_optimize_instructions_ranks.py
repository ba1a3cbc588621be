"""The stage in two processes, started as DESIGN says, goes on from one process's checkpoint and ends where one would have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from killed_rank import STEPS as DONE
from optimizing import content, paths_of, write_params
from two_processes import ROOT, by_two

from instune.bilevel.artefact import load_artefact
from instune.bilevel.checkpoint import FoldState
from instune.results import read_json
from stages import optimize_instructions

STEPS = {"outer_steps": 3, "batch_size": 3, "meta_batch_size": 3, "product": "double_backward"}
STEPS |= {"folds": 3, "validation": {"rows": 5, "every": 1, "patience": 9}}  # no number of rows is even


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
        done = by_two("-m", "stages.optimize_instructions", options=paths)
        assert done.returncode == 0, done.stderr[-3000:]
        found, found_report = load_artefact(paths["out"]), read_json(paths["report"])
        assert done.stdout.count("embedder_direct for 5 tasks") == 1  # one rank speaks
        assert [done.stderr.count(f"fold{number}:   0%") for number in range(3)] == [0, 1, 1]  # nor began fold 0 anew
        assert not list(Path(".scratch").rglob("*.pt"))
        assert sorted(content(paths["curves"])) == sorted(curves)
    moved = (alone.tensors["soft_prompts"] - start).norm()
    assert (found.tensors["soft_prompts"] - alone.tensors["soft_prompts"]).norm() < 1e-2 * moved
    for one, two in zip(report["folds"], found_report["folds"], strict=True):
        assert two["meta_test"] == one["meta_test"]
        for end in ("first", "last"):
            for name in ("outer_loss", "inner_loss", "inner_gradient_norm"):
                assert two[end][name] == pytest.approx(one[end][name], rel=1e-5)
            assert two[end]["hypergradient_norm"] == pytest.approx(one[end]["hypergradient_norm"], rel=1e-3)
        assert two["validation"]["last"] == pytest.approx(one["validation"]["last"], rel=1e-5)
    assert torch.isfinite(found.tensors["soft_prompts"]).all()


def test_one_of_two_killed_ends_both_and_one_alone_goes_on(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    paths = paths_of(tiny_pool, model_folder)
    steps = {"folds": 2, "outer_steps": DONE + 2, "checkpoint_every": DONE - 1, "product": "double_backward"}
    write_params("embedder_direct", **steps | {"outer_learning_rate": 1e-12})
    optimize_instructions.main(**paths)
    start = load_artefact(paths["out"]).tensors["soft_prompts"]
    write_params("embedder_direct", **steps)
    optimize_instructions.main(**paths)
    alone, curves = load_artefact(paths["out"]).tensors["soft_prompts"], content(paths["curves"])
    done = by_two(str(ROOT / "tests/killed_rank.py"), "optimize_instructions", options=paths)
    assert done.returncode
    assert "SIGKILL" in done.stderr, done.stderr
    (kept,) = Path(".scratch").rglob("fold0.pt")
    assert FoldState.load(kept).step == DONE - 1
    optimize_instructions.main(**paths)
    assert not kept.exists()
    assert sorted(content(paths["curves"])) == sorted(curves)
    found = load_artefact(paths["out"]).tensors["soft_prompts"]
    assert (found - alone).norm() < 1e-2 * (alone - start).norm()
