"""Two processes give the hypergradient of one on the same global batch, with weights on each or sharded over both (FSDP)."""

from __future__ import annotations

import pytest
import ranks_program
import torch
import two_processes

from instune.bilevel import instructions
from instune.bilevel.gradients import gradient
from instune.bilevel.parameterizations.reweight import Reweight
from instune.bilevel.ranks import mean_over_ranks


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """The hypergradients of two ranks."""
    out = tmp_path_factory.mktemp("ranks") / "found.pt"
    done = two_processes.by_two(str(two_processes.ROOT / "tests/ranks_program.py"), str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(out, weights_only=True)
    assert found.pop("world") == 2
    return found


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert expected.norm() > 0
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("kind", "product", "tolerance"),
    [
        ("float64", "double_backward", 1e-12),
        ("float64", "central_difference", 1e-5),
        ("float32", "double_backward", 1e-5),
        ("float32", "central_difference", 1e-2),  # differences amplify rounding
    ],
)
def test_two_ranks_give_the_hypergradient_of_one(by_two, kind, product, tolerance):
    alone = ranks_program.hypergradients(kind, 0, 1, "cpu")
    assert distance(by_two[kind][product], alone[product]) <= tolerance


def test_half_a_batch_gives_another_hypergradient():
    """The test above can fail: what a rank sees alone is something else."""
    half, whole = (ranks_program.hypergradients("float64", 0, world, "cpu")["double_backward"] for world in (2, 1))
    assert distance(half, whole) > 0.1


def test_sharded_weights_give_the_same_by_central_differences(by_two):
    alone = ranks_program.hypergradients("float32", 0, 1, "cpu")
    assert distance(by_two["sharded"]["central_difference"], alone["central_difference"]) <= 1e-2


def test_without_a_process_group_a_vector_stays_what_it_is():
    vector = (torch.ones(2), torch.zeros(3))
    assert all(a is b for a, b in zip(mean_over_ranks(vector), vector, strict=True))


def test_the_mean_over_ranks_of_their_parts_is_the_batch_also_where_a_rank_has_no_row(
    double_model, new_fold, material, monkeypatch
):
    fold = new_fold(double_model, learnable=Reweight(material, ["task0", "task1", "task2"], double_model.device))
    tensors = [*fold.theta, *fold.phi]
    losses = {"whole": gradient(fold.inner_loss(3, 0), tensors)}
    for rank in range(4):
        monkeypatch.setattr(instructions, "own_part", lambda size, rank=rank: (range(rank, size, 4), 4))
        losses[rank] = gradient(fold.inner_loss(3, 0), tensors)
    value, whole = losses["whole"]
    assert losses[3][0] == 0.0
    assert sum(losses[rank][0] for rank in range(4)) / 4 == pytest.approx(value, rel=1e-12)
    for number, expected in enumerate(whole):
        mean = sum(losses[rank][1][number] for rank in range(4)) / 4
        assert distance(mean, expected) <= 1e-5  # the weights of tasks are float32
