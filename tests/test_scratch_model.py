"""A model from scratch learns a repeated pattern and leaves the global generator alone."""

from __future__ import annotations

import math

import torch

from instune import scratch_model


def test_weights_come_from_the_seed_alone(tokenizer):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    shape = {"hidden_size": 16, "layers": 1, "heads": 2}
    one, same, other = (scratch_model.new_model(tokenizer, seed=seed, **shape) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


def test_a_periodic_row_is_learned_to_below_its_unigram_entropy(tokenizer):
    model = scratch_model.new_model(tokenizer, hidden_size=16, layers=1, heads=2, seed=0)
    ids = torch.tensor([10, 20, 30, 40] * 50)
    losses = scratch_model.pretrain(model, ids, steps=200, batch_size=4, length=16, learning_rate=1e-2, seed=0)
    assert losses[-1] < math.log(4) / 2


def test_the_tokenizer_round_trips_any_text(tokenizer):
    for text in ("plain", " a  b\n\n", "漢字 🙂 e\u0301", "<|im_start|>user\nHi<|im_end|>\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
