"""The hypergradient through a small Llama: product against product, attention, dropout, ties and frozen weights."""

from __future__ import annotations

import gc
from functools import partial

import pytest
import torch
from transformers import LlamaForCausalLM

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.instructions import batch_loss
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.vectors import cosine, norm
from instune.errors import InputError
from instune.scratch_model import new_model

GAMMA = 0.02  # under 1 / the largest eigenvalue of the tiny model


def of(fold, product, *, terms=1, gamma=None, difference_step=3e-3):
    return hypergradient(
        fold.inner_loss(4, 0),
        fold.outer_loss(4, 0),
        fold.theta,
        [fold.phi],
        products=products_by(product, difference_step),
        solve=AdaptiveNeumann(terms) if gamma is None else partial(neumann, terms=terms, gamma=gamma),
    )


def curvature_gamma(fold) -> float:
    return of(fold, "double_backward", terms=0).solution.gamma


@pytest.mark.parametrize("terms", [0, 1])
def test_central_difference_agrees_with_double_backward_in_float32(tiny_model, new_fold, terms):
    fold = new_fold(tiny_model)
    gamma = curvature_gamma(fold)
    exact = of(fold, "double_backward", terms=terms, gamma=gamma).gradient
    close = of(fold, "central_difference", terms=terms, gamma=gamma).gradient
    assert norm(exact) > 0
    assert cosine(exact, close) >= 0.999
    assert 0.99 <= norm(close) / norm(exact) <= 1.01


def test_default_attention_refuses_double_backward_and_says_what_to_set(tokenizer, new_fold):
    fold = new_fold(new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="sdpa"))
    with pytest.raises(InputError, match=r"central_difference, or optimize\.embedder\.attention: eager"):
        of(fold, "double_backward", gamma=GAMMA)


def test_central_difference_through_the_default_attention_equals_eager(tokenizer, tiny_model, new_fold):
    fused = new_fold(new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="sdpa"))
    eager = new_fold(tiny_model)
    left, right = (of(fold, "central_difference", gamma=GAMMA).gradient for fold in (fused, eager))
    assert cosine(left, right) >= 0.999
    assert 0.99 <= norm(left) / norm(right) <= 1.01


@pytest.mark.parametrize("product", ["double_backward", "central_difference"])
def test_parameters_buffers_modes_gradients_and_random_state_are_as_before(tiny_model, new_fold, product):
    fold = new_fold(tiny_model.train())
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    buffers = {name: tensor.clone() for name, tensor in tiny_model.named_buffers()}
    random_state, phi = torch.get_rng_state(), fold.phi.detach().clone()
    of(fold, product, gamma=GAMMA)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_model.state_dict().items())
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in tiny_model.named_buffers())
    assert torch.equal(phi, fold.phi)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in [*fold.theta, fold.phi])
    assert all(module.training for module in tiny_model.modules())


@pytest.mark.parametrize("product", ["double_backward", "central_difference"])
def test_dropout_changes_nothing(tiny_model, new_fold, product):
    config = tiny_model.config
    config.attention_dropout = 0.5
    dropping = LlamaForCausalLM(config)
    dropping.load_state_dict(tiny_model.state_dict())
    fold = new_fold(dropping.train())
    first, second = (of(fold, product, gamma=GAMMA).gradient[0] for _ in range(2))
    config.attention_dropout = 0.0
    plain = of(new_fold(tiny_model), product, gamma=GAMMA).gradient[0]
    assert torch.equal(first, second)
    assert torch.equal(first, plain)


def test_tied_embeddings_count_once(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    assert tiny_model.config.tie_word_embeddings
    assert len(fold.theta) == len(tiny_model.state_dict()) - 1
    assert sum(parameter is tiny_model.get_input_embeddings().weight for parameter in fold.theta) == 1


@pytest.mark.parametrize("product", ["double_backward", "central_difference"])
def test_frozen_parameters_stay_and_only_the_others_enter(tiny_model, new_fold, product):
    for name, parameter in tiny_model.named_parameters():
        parameter.requires_grad_("mlp" in name)
    fold = new_fold(tiny_model)
    frozen = {name: p.detach().clone() for name, p in tiny_model.named_parameters() if not p.requires_grad}
    result = of(fold, product, gamma=GAMMA)
    assert len(fold.theta) == 6
    assert norm(result.gradient) > 0
    assert all(torch.equal(tiny_model.get_parameter(name), tensor) for name, tensor in frozen.items())


def test_float64_hypergradient_equals_differences_of_one_inner_step(double_model, new_fold):
    """K = 0 is the exact derivative of L_meta(theta - gamma dL_train/dtheta) where L_meta is linear in theta."""
    fold = new_fold(double_model)
    fold.phi = fold.phi.detach().double().requires_grad_()
    inner, outer, gamma, small = fold.inner_loss(4, 0), fold.outer_loss(4, 0), GAMMA, 1e-6
    slope = torch.autograd.grad(outer(), fold.theta, materialize_grads=True)
    result = of(fold, "double_backward", terms=0, gamma=gamma)
    direction = torch.randn(fold.phi.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def after_step(sign):
        with torch.no_grad():
            fold.phi.add_(direction, alpha=sign * small)
        gradients = torch.autograd.grad(inner(), fold.theta, materialize_grads=True)
        with torch.no_grad():
            fold.phi.add_(direction, alpha=-sign * small)
        return -gamma * sum((s * g).sum() for s, g in zip(slope, gradients, strict=True))

    expected = (after_step(1) - after_step(-1)) / (2 * small)
    assert torch.allclose((result.gradient[0] * direction).sum(), expected, rtol=1e-6)


def test_prompts_of_tasks_outside_the_batch_have_no_gradient(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    rows = fold.soft.batch(["task1"], 3, "only")
    result = hypergradient(
        lambda: batch_loss(tiny_model, rows, pad_id=fold.pad_id, prompts={"task1": fold.phi[1]}),
        fold.outer_loss(4, 0),
        fold.theta,
        [fold.phi],
        products=products_by("double_backward", 1.0),
        solve=partial(neumann, terms=1, gamma=GAMMA),
    )
    by_task = result.gradient[0].abs().sum((1, 2))
    assert by_task[1] > 0
    assert by_task[0] == by_task[2] == 0


@pytest.mark.parametrize("product", ["double_backward", "central_difference"])
def test_memory_is_flat_over_fifty_hypergradients_without_the_cycle_collector(tiny_model, new_fold, product):
    fold = new_fold(tiny_model)
    gc.collect()
    gc.disable()
    try:
        of(fold, product, terms=0, gamma=GAMMA)
        before = sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())
        for _ in range(50):
            of(fold, product, terms=0, gamma=GAMMA)
        assert sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()) == before
    finally:
        gc.enable()
