from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from instune.scratch_model import new_model
from instune.selection.gradients import gradient, gradients, trained, with_adapters
from instune.selection.projection import BLOCK, signs
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow


def row(prompt, output):
    ids = [*prompt, *output]
    labels = [IGNORE_INDEX] * len(prompt) + list(output)
    return TrainingRow(ids, labels, [0.0] * len(prompt) + [1.0] * len(output), float(len(output)), "task")


GROUPS = [[row([5, 9, 17], [30, 2]), row([8], [8, 4, 2])], [row([40, 41, 42], [2])]]


@pytest.fixture
def adapted(tiny_model):
    return with_adapters(tiny_model, rank=3, seed=1)


def loss_of(model, one):
    """Mean NLL of the output, by hand."""
    scores = torch.log_softmax(model(torch.tensor([one.input_ids])).logits[0].double(), dim=-1)
    places = [place for place, label in enumerate(one.labels) if label >= 0]
    return -sum(scores[place - 1, one.labels[place]] for place in places) / len(places)


def flat_gradient(model, one):
    loss_of(model, one).backward()
    flat = torch.cat([weight.grad.reshape(-1) for name, weight in model.named_parameters() if "lora_B" in name])
    model.zero_grad()
    return flat


def test_the_gradient_is_that_of_the_output_by_autograd(adapted):
    for one in GROUPS[0] + GROUPS[1]:
        expected = flat_gradient(adapted, one)
        assert expected.abs().max() > 0
        torch.testing.assert_close(gradient(adapted, one, "float32"), expected, atol=1e-6, rtol=1e-4)


def test_an_encoder_decoder_models_gradient_is_that_of_its_target():
    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    torch.manual_seed(0)
    base = T5ForConditionalGeneration(T5Config(vocab_size=60, decoder_start_token_id=0, pad_token_id=0, **size)).eval()
    model = with_adapters(base, rank=3, seed=1)
    one = replace(row([5, 9, 17], [30, 2]), source=3)
    model(input_ids=torch.tensor([[5, 9, 17]]), labels=torch.tensor([[30, 2]])).loss.backward()
    expected = torch.cat([weight.grad.reshape(-1) for name, weight in model.named_parameters() if "lora_B" in name])
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient(model, one, "float32"), expected, atol=1e-6, rtol=1e-4)


def test_the_gradient_in_b_is_the_full_gradient_with_its_inputs_projected_by_a(tiny_model):
    one = GROUPS[0][0]
    weight = tiny_model.model.layers[0].self_attn.q_proj.weight
    (full,) = torch.autograd.grad(loss_of(tiny_model, one), weight)  # (out, in)
    adapted = with_adapters(tiny_model, rank=3, seed=1)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    expected = full.float() @ layer.lora_A["default"].weight.T  # (out, r)
    (found,) = torch.autograd.grad(loss_of(adapted, one), layer.lora_B["default"].weight)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_only_b_is_trained_and_a_follows_the_seed(tokenizer):
    def first_a(seed):
        torch.manual_seed(99 + seed % 7)  # the global generator decides nothing
        model = with_adapters(new_model(tokenizer, hidden_size=32, layers=1, heads=2, seed=0), rank=2, seed=seed)
        names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        assert names
        assert all("lora_B" in name for name in names)
        return next(weight for name, weight in model.named_parameters() if "lora_A" in name)

    assert torch.equal(first_a(0), first_a(0))
    others = [first_a(seed) for seed in (1, -1, 2**70)]
    assert not any(torch.equal(first_a(0), other) for other in others)


def test_vectors_are_projected_by_the_full_matrix_and_of_unit_length(adapted):
    found = gradients(GROUPS, lambda tokens: None, model=adapted, dimension=64, seed=5, precision="float32")
    width = sum(weight.numel() for weight in trained(adapted))
    assert width > 1000
    matrix = torch.cat([signs(5, block, 64) for block in range(-(-width // BLOCK))])[:width]
    for rows, vectors in zip(GROUPS, found, strict=True):
        for one, vector in zip(rows, vectors, strict=True):
            expected = (flat_gradient(adapted, one) @ matrix).numpy()
            np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-5)


def test_a_group_gives_the_same_bytes_whatever_stands_beside_it(adapted):
    settings = {"model": adapted, "dimension": 64, "seed": 0, "precision": "float32"}
    alone = gradients(GROUPS[:1], lambda tokens: None, **settings)
    assert alone[0].tobytes() == gradients(GROUPS, lambda tokens: None, **settings)[0].tobytes()


def test_the_models_own_weights_stay_as_they_are_and_gather_no_gradients(adapted):
    before = {name: weight.clone() for name, weight in adapted.named_parameters()}
    gradients(GROUPS, lambda tokens: None, model=adapted, dimension=64, seed=0, precision="float32")
    assert all(torch.equal(weight, before[name]) for name, weight in adapted.named_parameters())
    assert all(weight.grad is None for weight in adapted.parameters())
