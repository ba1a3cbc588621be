"""What a hypergradient must leave alone and what must not change it: dropout, state, ties, frozen weights, adapters, memory."""

from __future__ import annotations

import gc
from functools import partial

import pytest
import torch
from language_problems import Problem, double_gpt2, problem, tiny_llama
from torch import nn

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.instructions import evaluation_mode
from instune.bilevel.products import DoubleBackward
from instune.bilevel.solvers.conjugate_gradient import conjugate_gradient
from instune.bilevel.solvers.neumann import AdaptiveNeumann, neumann
from instune.bilevel.solvers.solution import CurvatureError, damped
from instune.bilevel.vectors import norm
from instune.tuning.adapters import add_lora

PRODUCTS = ["double_backward", "central_difference"]


def of(found, product, *, terms=1):
    products = products_by(product, 3e-3)
    solve = partial(neumann, terms=terms, gamma=0.02)
    return hypergradient(found.inner, found.outer, found.theta, [found.phi], products=products, solve=solve).gradient


@pytest.mark.parametrize("product", PRODUCTS)
def test_dropout_changes_nothing(product):
    model = tiny_llama(dropout=0.5).train()
    first, second = (of(problem(model), product)[0] for _ in range(2))
    plain = of(problem(tiny_llama()), product)[0]
    assert torch.equal(first, second)
    assert torch.equal(first, plain)


@pytest.mark.parametrize("product", PRODUCTS)
def test_parameters_buffers_modes_gradients_and_random_state_are_as_before(product):
    model = tiny_llama().train()
    found = problem(model)
    for number, tensor in enumerate([*found.theta, found.phi]):
        tensor.grad = torch.full_like(tensor, float(number))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    random_state, phi = torch.get_rng_state(), found.phi.detach().clone()
    of(found, product)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in model.named_buffers())
    assert torch.equal(phi, found.phi)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all((tensor.grad == number).all() for number, tensor in enumerate([*found.theta, found.phi]))
    assert all(tensor.requires_grad for tensor in [*found.theta, found.phi])
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("product", PRODUCTS)
def test_running_statistics_stay(product):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).train()
    phi, inputs = torch.ones(3, requires_grad=True), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def loss(points):
        with evaluation_mode(model):
            return model(points).square().sum()

    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    found = Problem(list(model.parameters()), phi, lambda: loss(inputs * phi), lambda: loss(inputs))
    assert norm(of(found, product)) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


@pytest.mark.parametrize("product", PRODUCTS)
def test_tied_embeddings_are_one_parameter_with_one_gradient(product):
    """Untied twins whose gradients are added by hand stand for the truth."""
    tied = tiny_llama()
    found = problem(tied)
    assert len(found.theta) == len(tied.state_dict()) - 1
    table = next(number for number, tensor in enumerate(found.theta) if tensor is tied.get_input_embeddings().weight)
    second = products_by(product, 3e-3)(found.inner, found.theta, [found.phi])
    vector = tuple(torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) for t in found.theta)
    together = second.hessian(vector)[table]
    tied.lm_head.weight = nn.Parameter(tied.lm_head.weight.detach().clone())
    untied = [*found.theta, tied.lm_head.weight]
    twice = products_by(product, 3e-3)(found.inner, untied, [found.phi]).hessian((*vector, vector[table]))
    assert torch.allclose(together, twice[table] + twice[-1], atol=2e-2 * together.abs().max().item())


@pytest.mark.parametrize("product", PRODUCTS)
def test_frozen_parameters_stay_and_only_the_others_enter(product):
    model = tiny_llama()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("mlp" in name)
    found = problem(model)
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert len(found.theta) == 6
    assert norm(of(found, product)) > 0
    assert all(torch.equal(model.get_parameter(name), tensor) for name, tensor in frozen.items())
    assert not any(model.get_parameter(name).requires_grad for name in frozen)


@pytest.mark.parametrize("product", PRODUCTS)
def test_adapters_alone_are_theta_and_give_the_same_by_both_products(product):
    model = add_lora(tiny_llama(), rank=2, alpha=4.0, dropout=0.5, seed=0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero at first
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    found = problem(model.train())
    assert all("lora" in name for name, parameter in model.named_parameters() if parameter.requires_grad)
    result, exact = of(found, product)[0], of(found, "double_backward")[0]
    assert torch.equal(result, of(found, product)[0])  # adapters' dropout is off too
    assert torch.allclose(result, exact, atol=1e-2 * exact.abs().max().item())


def test_a_models_own_indefinite_hessian_is_met_by_damping_and_by_a_short_series():
    """At random weights a language model's Hessian has negative eigenvalues."""
    found = problem(double_gpt2())
    hessian = DoubleBackward(found.inner, found.theta, [found.phi]).hessian
    v = torch.autograd.grad(found.outer(), found.theta)
    with pytest.raises(CurvatureError, match=r"Raise optimize\.damping by more than"):
        conjugate_gradient(hessian, v, iterations=300, tolerance=1e-10)
    enough = conjugate_gradient(damped(hessian, 20.0), v, iterations=300, tolerance=1e-8)
    assert enough.remaining <= 1e-8
    assert AdaptiveNeumann(1)(hessian, v).gamma > 0


@pytest.mark.parametrize("product", PRODUCTS)
def test_memory_is_flat_over_fifty_outer_steps_without_the_cycle_collector(product):
    found = problem(tiny_llama(width=8))

    def outer_step():
        result = of(found, product)
        slope = torch.autograd.grad(found.inner(), found.theta)
        with torch.no_grad():
            found.phi.sub_(result[0], alpha=0.1)
            torch._foreach_sub_(found.theta, slope, alpha=1e-3)  # in place, after the graph of the products is gone

    gc.collect()
    gc.disable()
    try:
        outer_step()
        before = sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())
        for _ in range(50):
            outer_step()
        assert sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()) == before
    finally:
        gc.enable()


def test_prompts_that_the_batch_does_not_use_have_no_gradient():
    found = problem(tiny_llama())
    unused = torch.ones(2, 3, requires_grad=True)
    for product in PRODUCTS:
        products = products_by(product, 3e-3)
        solve = partial(neumann, terms=1, gamma=0.02)
        used, idle = hypergradient(
            found.inner, found.outer, found.theta, [found.phi, unused], products=products, solve=solve
        ).gradient
        assert used.abs().sum() > 0
        assert torch.equal(idle, torch.zeros_like(unused))
        nothing = hypergradient(found.inner, found.outer, found.theta, [unused], products=products, solve=solve).gradient
        assert torch.equal(nothing[0], torch.zeros_like(unused))
