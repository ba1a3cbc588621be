"""NEFTune's noise: by hand, by its moments, and the same in whatever batch a row stands."""

from __future__ import annotations

import math

import pytest
import torch

from instune.tuning.batches import collate
from instune.tuning.noise import neftune_noise
from instune.tuning.packing import collate_packed
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import TrainingLoss, model_inputs


def rows() -> list[TrainingRow]:
    ids = [[11, 12, 13, 14, 15], [21, 22, 23]]
    return [TrainingRow(row, [-100, *row[1:]], [0.0] + [1.0] * (len(row) - 1), 1.0, "task0") for row in ids]


def test_noise_by_hand():
    lengths, seeds, like = torch.tensor([4, 1]), torch.tensor([7, 8]), torch.zeros(2, 4, 9)
    noise = neftune_noise(lengths, seeds, 3.0, like, packed=False)
    unit = torch.rand(4, 9, generator=torch.Generator().manual_seed(7)) * 2 - 1
    assert torch.allclose(noise[0], unit * 3.0 / 6.0, atol=1e-6)  # sqrt(4 x 9) = 6
    unit = torch.rand(1, 9, generator=torch.Generator().manual_seed(8)) * 2 - 1
    assert torch.allclose(noise[1, 0], unit[0] * 3.0 / 3.0, atol=1e-6)  # its own length, not the batch's width
    assert not noise[1, 1:].any()
    packed = neftune_noise(lengths, seeds, 3.0, torch.zeros(1, 5, 9), packed=True)
    assert torch.equal(packed[0], torch.cat([noise[0], noise[1, :1]]))


def test_noise_has_the_moments_of_the_uniform_distribution():
    length, size, alpha = 400, 64, 5.0
    noise = neftune_noise(torch.tensor([length]), torch.tensor([0]), alpha, torch.zeros(1, length, size), packed=False)
    bound = alpha / math.sqrt(length * size)
    assert noise.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert noise.mean().item() == pytest.approx(0.0, abs=4 * bound / math.sqrt(3 * noise.numel()))
    assert noise.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_embeddings_carry_the_noise_and_soft_instructions_none(tiny_model):
    batch = collate(rows(), pad_id=0) | {"noise_seeds": torch.tensor([1, 2])}
    table = tiny_model.get_input_embeddings().weight
    clean = table[batch["input_ids"]]
    noise = neftune_noise(torch.tensor([5, 3]), batch["noise_seeds"], 5.0, clean, packed=False)
    assert torch.equal(model_inputs(tiny_model, batch, 5.0)["inputs_embeds"], clean + noise)
    places = torch.zeros(2, 5, dtype=torch.bool)
    places[1, 1] = True
    soft = batch | {"soft_places": places, "soft_embeddings": torch.full((1, 32), 9.0)}
    embeddings = model_inputs(tiny_model, soft, 5.0)["inputs_embeds"]
    assert torch.equal(embeddings[1, 1], torch.full((32,), 9.0))
    assert torch.equal(embeddings[0], (clean + noise)[0])


def test_noise_is_of_training_alone_and_of_the_seed(tiny_model):
    module = TrainingLoss(tiny_model, neftune_alpha=5.0)

    def loss(*seeds: int) -> float:
        return module(collate(rows(), pad_id=0) | {"noise_seeds": torch.tensor(seeds)})[0].item()

    tiny_model.train()
    first = loss(1, 2)
    assert loss(1, 2) == first
    assert loss(3, 2) != first
    packed = collate_packed(rows()) | {"noise_seeds": torch.tensor([1, 2])}
    assert module(packed)[0].item() == pytest.approx(first, rel=1e-5)
    tiny_model.eval()
    assert loss(1, 2) == loss(3, 4) != first
    assert loss(1, 2) == TrainingLoss(tiny_model)(collate(rows(), pad_id=0))[0].item()
