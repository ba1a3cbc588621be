"""The bilevel loop: what it draws, how it steps, how it resumes and when it stops."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from instune.bilevel.batches import split_folds
from instune.bilevel.checkpoint import FoldState
from instune.bilevel.gradients import gradient
from instune.bilevel.hypergradient import DoubleBackward, hypergradient
from instune.bilevel.optimizers import Optimizers
from instune.bilevel.schedule import Schedule, Solve
from instune.bilevel.solvers.identity import adam_slopes, adapted_identity
from instune.bilevel.solvers.neumann import neumann
from instune.bilevel.vectors import cosine, norm
from instune.errors import InputError
from instune.tuning.rows import Shown

SCHEDULE = Schedule(
    outer_steps=3,
    inner_steps=2,
    batch_size=2,
    meta_batch_size=2,
    inner_optimizer="sgd",
    inner_learning_rate=0.05,
    outer_learning_rate=0.01,
    checkpoint_every=2,
)
SOLVE = Solve(solver="neumann", product="double_backward", difference_step=1e-3, terms=1, gamma=0.02)


def silent(step, facts):
    pass


def test_folds_part_the_tasks_and_every_fold_crosses_the_categories(tiny_pool):
    tasks = [task for task in tiny_pool[0].values() if task.split == "train"]
    first, second = split_folds(tasks, 2, seed=0)
    assert sorted(first + second) == sorted(task.task_id for task in tasks)
    for fold in (first, second):
        assert {tiny_pool[0][task_id].category for task_id in fold} == {"category0", "category1", "category2"}


def test_folds_follow_the_seed_and_not_the_order_of_tasks(tiny_pool):
    tasks = list(tiny_pool[0].values())
    assert split_folds(tasks, 2, seed=0) == split_folds(tasks[::-1], 2, seed=0)
    assert len({str(split_folds(tasks, 2, seed=seed)) for seed in range(8)}) > 1


def test_a_single_task_has_no_meta_split(tiny_pool):
    with pytest.raises(InputError, match=r"2 folds need at least 2 selected tasks .*, and there are 1"):
        split_folds([tiny_pool[0]["task0"]], 2, seed=0)


def test_draws_follow_the_key_alone_and_stay_within_the_tasks(tiny_model, new_fold):
    one, two = new_fold(tiny_model), new_fold(tiny_model)
    two.inner.batch(one.split.train, 5, "something else")
    drawn = one.inner.batch(one.split.train, 8, "fold0", 1)
    assert drawn == two.inner.batch(one.split.train, 8, "fold0", 1)
    assert drawn != one.inner.batch(one.split.train, 8, "fold0", 2)
    assert {row.task_id for row in drawn} <= set(one.split.train)
    assert all(row.soft[1] == 4 for row in drawn)
    assert all(row.soft[1] == 0 for row in one.human.batch(one.split.test, 8, "fold0", 1))


def test_a_soft_prompt_longer_than_the_row_is_refused_with_the_way_out(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    fold.inner.builder.show = lambda task, example: Shown(soft_tokens=500)
    with pytest.raises(InputError, match=r"no batch of 2 examples fits.*\n.*optimize\.embedder\.soft_tokens"):
        fold.inner_loss(2, 0)


def test_the_identity_of_an_inner_adam_takes_the_slope_of_its_next_step(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    schedule = Schedule(**vars(SCHEDULE) | {"inner_optimizer": "adam", "inner_learning_rate": 1e-3})
    solve = Solve(**vars(SOLVE) | {"solver": "identity", "gamma": "auto"})
    optimizers, state = Optimizers(fold.phi, fold.theta, schedule), FoldState(0, fold.learnable.copy())
    fold.outer_step(schedule, solve, state, optimizers)
    state.step = 1
    inner = fold.inner_loss(2, "hypergradient", 1)
    slopes = adam_slopes(optimizers.inner, fold.theta, gradient(inner, fold.theta)[1])
    solver = partial(adapted_identity, slopes=slopes)
    outer = fold.outer_loss(2, 1)
    expected = hypergradient(inner, outer, fold.theta, fold.phi, products=DoubleBackward, solve=solver)
    fold.outer_step(schedule, solve, state, optimizers)
    assert norm(expected.gradient) > 0
    torch.testing.assert_close(state.previous, [tensor.detach() for tensor in expected.gradient])


def test_an_outer_step_is_adam_on_the_hypergradient_then_sgd_on_fresh_batches(tiny_model, new_fold, tmp_path):
    fold, schedule = new_fold(tiny_model), Schedule(**vars(SCHEDULE) | {"outer_steps": 1})
    theta = [tensor.detach().clone() for tensor in fold.theta]
    phi = fold.phi[0].detach().clone().requires_grad_()
    expected = hypergradient(
        fold.inner_loss(2, "hypergradient", 0),
        fold.outer_loss(2, 0),
        fold.theta,
        fold.phi,
        products=DoubleBackward,
        solve=partial(neumann, terms=1, gamma=0.02),
    ).gradient[0]
    phi.grad = expected
    torch.optim.Adam([phi], lr=0.01).step()
    fold.optimize(schedule, SOLVE, checkpoint=tmp_path / "fold0.pt", log=silent)
    assert torch.equal(fold.phi[0], phi)
    after = [tensor.detach().clone() for tensor in fold.theta]
    with torch.no_grad():
        for tensor, before in zip(fold.theta, theta, strict=True):
            tensor.copy_(before)
    for number in range(2):
        gradients = torch.autograd.grad(sum(fold.inner_loss(2, "descent", 0, number)()), fold.theta)
        with torch.no_grad():
            for tensor, gradient in zip(fold.theta, gradients, strict=True):
                tensor -= 0.05 * gradient
    assert all(torch.allclose(a, b, rtol=0, atol=1e-7) for a, b in zip(after, fold.theta, strict=True))


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, {}),
        ({"inner_learning_rate": 0.01}, {"gamma": "auto", "product": "central_difference"}),
        ({"inner_optimizer": "adam", "inner_learning_rate": 0.01}, {"gamma": "auto", "product": "central_difference"}),
    ],
    ids=["sgd", "sgd, gamma kept", "adam, gamma kept"],
)
def test_a_killed_run_goes_on_to_the_same_prompts_and_history(tiny_model, new_fold, tmp_path, changes, how):
    schedule, solve = Schedule(**vars(SCHEDULE) | changes), Solve(**vars(SOLVE) | how)
    start = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    whole = new_fold(tiny_model).optimize(schedule, solve, checkpoint=tmp_path / "whole.pt", log=silent)

    def kill(step, facts):
        if step == 2:
            raise KeyboardInterrupt

    tiny_model.load_state_dict(start)
    with pytest.raises(KeyboardInterrupt):
        new_fold(tiny_model).optimize(schedule, solve, checkpoint=tmp_path / "killed.pt", log=kill)
    assert FoldState.load(tmp_path / "killed.pt").step == 2
    tiny_model.load_state_dict(start)
    logged = []
    state = new_fold(tiny_model).optimize(
        schedule, solve, checkpoint=tmp_path / "killed.pt", log=lambda step, facts: logged.append(step)
    )
    assert torch.equal(state.phi[0], whole.phi[0])
    assert state.history == whole.history
    assert logged == [0, 1, 2]


def test_a_finished_fold_is_not_run_again(tiny_model, new_fold, tmp_path):
    whole = new_fold(tiny_model).optimize(SCHEDULE, SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    theta = [parameter.detach().clone() for parameter in tiny_model.parameters()]
    again = new_fold(tiny_model).optimize(SCHEDULE, SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    assert torch.equal(again.phi[0], whole.phi[0])
    assert again.history == whole.history
    assert all(torch.equal(a, b) for a, b in zip(theta, tiny_model.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_the_run_with_step_and_way_out(tiny_model, new_fold, tmp_path):
    with torch.no_grad():
        tiny_model.get_input_embeddings().weight[5] = math.nan
    with pytest.raises(InputError, match=r"is not finite(.|\n)*Lower optimize"):
        new_fold(tiny_model).optimize(SCHEDULE, SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)


def test_auto_step_is_chosen_once_and_gives_the_hypergradient_of_double_backward(tiny_model, new_fold, tmp_path):
    schedule = Schedule(**vars(SCHEDULE) | {"outer_steps": 1})
    start = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    states = []
    for product in ("double_backward", "central_difference"):
        tiny_model.load_state_dict(start)
        solve = Solve(solver="neumann", product=product, difference_step="auto", terms=1, gamma=0.02)
        states.append(new_fold(tiny_model).optimize(schedule, solve, checkpoint=tmp_path / f"{product}.pt", log=silent))
    (exact,), (close,) = (state.previous for state in states)
    assert states[0].difference_step is None
    assert cosine([exact], [close]) >= 0.999
    assert norm([close]) / norm([exact]) == pytest.approx(1.0, abs=0.01)


def test_auto_gamma_is_kept_and_reported(tiny_model, new_fold, tmp_path):
    solve = Solve(solver="neumann", product="double_backward", difference_step=1e-3, terms=1, gamma="auto")
    state = new_fold(tiny_model).optimize(SCHEDULE, solve, checkpoint=tmp_path / "fold.pt", log=silent)
    assert state.gamma > 0
    assert [facts["gamma"] for facts in state.history][-1] == state.gamma
