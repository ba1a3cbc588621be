"""Layers computed again in the backward pass, dropout off or on: what is kept, what is counted, what comes out."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from language_problems import batch_of, double_gpt2, double_t5, problem, rows_of, tiny_llama
from torch.autograd.graph import saved_tensors_hooks

from instune.bilevel.hypergradient import hypergradient, products_by
from instune.bilevel.instructions import evaluation_mode
from instune.bilevel.solvers.neumann import neumann
from instune.bilevel.vectors import norm, plus
from instune.checkpointing import recompute_activations
from instune.errors import InputError
from instune.tuning.adapters import add_lora
from instune.tuning.weighted_loss import WeightedLoss

MODELS = {
    "Llama": tiny_llama,
    "sdpa": partial(tiny_llama, attention="sdpa"),
    "dropout": partial(tiny_llama, dropout=0.5),
    "GPT-2": double_gpt2,
    "T5": double_t5,
}


def hypergradient_of(model, product, *, terms=1):
    found = problem(model)
    keywords = {"products": products_by(product, 3e-3), "solve": partial(neumann, terms=terms, gamma=0.02)}
    return hypergradient(found.inner, found.outer, found.theta, [found.phi], **keywords).gradient[0]


def passes_of(model, run) -> int:
    """How often a sublayer of the last layer runs."""
    last = [module for name, module in model.named_modules() if name.endswith(("mlp", "DenseReluDense"))][-1]
    calls = []
    handle = last.register_forward_pre_hook(lambda *_: calls.append(1))  # the second run stops where nothing is needed any more
    run()
    handle.remove()
    return len(calls)


@pytest.mark.parametrize("product", ["central_difference", "double_backward"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_hypergradient_is_the_same_and_its_layers_are_computed_again_with_dropout_off(kind, product):
    plain, saving = MODELS[kind]().train(), MODELS[kind]().train()
    recompute_activations(saving)
    expected, found = hypergradient_of(plain, product), hypergradient_of(saving, product)
    tolerance = 1e-5 if product == "double_backward" else 1e-2 if expected.dtype == torch.float32 else 1e-6
    assert (found - expected).norm() <= tolerance * expected.norm()
    assert expected.norm() > 0
    counts = [passes_of(model, lambda model=model: hypergradient_of(model, product)) for model in (plain, saving)]
    assert counts[1] >= 2 * counts[0]
    if product == "central_difference":
        assert counts == [5, 10]  # v, and two gradients for each of two products
    assert all(module.training for module in saving.modules())


def kept_elements(model, rows) -> int:
    """Numbers that one pass keeps for the backward pass, parameters aside."""
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), evaluation_mode(model):
        loss = WeightedLoss(model)(batch_of(model, rows))
    assert loss.requires_grad
    return sum(kept.values())


def test_a_pass_keeps_the_layers_inputs_only():
    plain, saving = tiny_llama(width=32), tiny_llama(width=32)
    recompute_activations(saving)
    rows = rows_of(plain, soft=0, seed=0, inputs=8, length=40)
    before, after = kept_elements(plain, rows), kept_elements(saving, rows)
    assert after < 0.4 * before


def test_a_training_pass_draws_the_same_dropout_again_and_gives_the_same_gradients():
    gradients = []
    for checkpointed in (False, True):
        model = tiny_llama(dropout=0.5).train()
        if checkpointed:
            recompute_activations(model)
        torch.manual_seed(3)
        loss = WeightedLoss(model)(batch_of(model, rows_of(model, soft=0, seed=0)))
        model.eval()  # the mode of the pass counts, not that of its backward pass
        loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert norm(plus(*gradients, -1.0)) <= 1e-6 * norm(gradients[0])
    assert not model.training


def test_adapters_and_passes_without_gradients_work_too():
    model = tiny_llama()
    recompute_activations(model)
    adapted = add_lora(model, rank=2, alpha=4.0, dropout=0.0, seed=0)
    assert hypergradient_of(adapted, "central_difference").norm() > 0
    with torch.no_grad():
        batch = batch_of(model, rows_of(model, soft=0, seed=0))
        assert passes_of(adapted, lambda: WeightedLoss(adapted)(batch)) == 1


def test_a_copy_computes_its_own_layers():
    """As the base model of a KL is a copy of the model that trains."""
    model = tiny_llama()
    recompute_activations(model)
    batch, copied = batch_of(model, rows_of(model, soft=0, seed=0)), copy.deepcopy(model)
    before = WeightedLoss(model)(batch)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert WeightedLoss(copied)(batch) == before
    assert WeightedLoss(model)(batch) != before


def test_under_autocast_it_agrees_to_the_rounding_of_bfloat16():
    losses = []
    for checkpointed in (False, True):
        model = tiny_llama()
        if checkpointed:
            recompute_activations(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = WeightedLoss(model)(batch_of(model, rows_of(model, soft=0, seed=0)))
        losses.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(InputError, match="Linear has no layers that can be checkpointed"):
        recompute_activations(torch.nn.Linear(2, 2))
