"""The optimizers against the libraries' own, and the schedules by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers.optimization import Adafactor as LibraryAdafactor

from instune.tuning.optimizers import Adafactor, AdamW, learning_rate_at, new_optimizer

ADAMW = AdamW(name="adamw", beta1=0.9, beta2=0.999, epsilon=1e-8)
ADAFACTOR = Adafactor(name="adafactor")


def rates(steps, **changes):
    settings = {"peak": 1.0, "warmup_share": 0.0, "schedule": "linear"} | changes
    return [learning_rate_at(step, steps, **settings) for step in range(steps)]


def test_linear_warms_up_linearly_and_decays_linearly():
    assert rates(5, warmup_share=0.4) == pytest.approx([0.5, 1.0, 1.0, 2 / 3, 1 / 3])
    assert rates(4, peak=0.01) == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


def test_constant_warms_up_linearly_and_stays():
    assert rates(5, warmup_share=0.4, schedule="constant") == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert rates(3, peak=0.01, schedule="constant") == [0.01] * 3


def stepped(model, optimizer):
    """The parameters after three steps on fixed gradients."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("settings", [(0.9, 0.999, 1e-8), (0.9, 0.98, 1e-6)])
def test_adamw_is_torchs_with_these_settings(tiny_model, settings):
    beta1, beta2, epsilon = settings
    ours, theirs = copy.deepcopy(tiny_model), copy.deepcopy(tiny_model)
    chosen = AdamW(name="adamw", beta1=beta1, beta2=beta2, epsilon=epsilon)
    optimizer = new_optimizer(ours, chosen, learning_rate=0.01, weight_decay=0.0)
    assert all(group["betas"] == (beta1, beta2) and group["eps"] == epsilon for group in optimizer.param_groups)
    plain = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(beta1, beta2), eps=epsilon, weight_decay=0.0)
    for one, other in zip(stepped(ours, optimizer), stepped(theirs, plain), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_default_is_torchs_default():
    defaults = torch.optim.AdamW([torch.zeros(1)]).defaults
    assert (defaults["betas"], defaults["eps"]) == ((ADAMW.beta1, ADAMW.beta2), ADAMW.epsilon)


def test_adafactor_is_the_librarys_at_a_fixed_rate(tiny_model):
    ours, theirs = copy.deepcopy(tiny_model), copy.deepcopy(tiny_model)
    optimizer = new_optimizer(ours, ADAFACTOR, learning_rate=0.01, weight_decay=0.0)
    plain = LibraryAdafactor(theirs.parameters(), lr=0.01, scale_parameter=False, relative_step=False)
    expected = stepped(theirs, plain)
    for one, other in zip(stepped(ours, optimizer), expected, strict=True):
        assert torch.equal(one, other)


def test_a_step_of_adafactor_by_hand():
    matrix = torch.nn.Parameter(torch.ones(2, 2))
    model = torch.nn.ParameterList([matrix])
    gradient = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    matrix.grad = gradient.clone()
    new_optimizer(model, ADAFACTOR, learning_rate=0.1, weight_decay=0.0).step()
    squares = gradient**2
    factored = squares.mean(1, keepdim=True) * squares.mean(0) / squares.mean()  # beta2 is 0 at the first step
    update = gradient / factored.sqrt()
    update /= max(1.0, update.square().mean().sqrt().item())
    assert torch.allclose(matrix, 1 - 0.1 * update, atol=1e-6)


@pytest.mark.parametrize("optimizer", [ADAMW, ADAFACTOR])
def test_weight_decay_spares_vectors(tiny_model, optimizer):
    groups = new_optimizer(tiny_model, optimizer, learning_rate=0.01, weight_decay=0.1).param_groups
    assert {(parameter.ndim, group["weight_decay"]) for group in groups for parameter in group["params"]} == {(2, 0.1), (1, 0.0)}
    assert sum(len(group["params"]) for group in groups) == len(list(tiny_model.parameters()))
