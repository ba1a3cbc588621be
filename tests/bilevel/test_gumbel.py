"""Gumbel noise on the extractor's logits: its own for every row of a batch, the same at every call, of the right distribution."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect

CHOICE = {"exemplars": 1, "candidates": 4, "max_tokens": 50, "choice": "hard", "temperature": 1.0, "instruction": False}


@pytest.fixture
def learnable(material):
    return ExtractorDirect(material, ["task0"], torch.device("cpu"), gumbel=True, **CHOICE)


def chosen(learnable, row, model, *, rows, seed):
    """Which candidate each of so many copies of a row shows."""
    table, embed = learnable.known["task0"], model.get_input_embeddings()
    texts = [embed.weight[table.ids[0, place, :length]] for place, length in enumerate(table.lengths[0].tolist())]
    found = learnable.terms([row] * rows, range(rows), embed, seed=seed).soft
    places = [
        [place for place, text in enumerate(texts) if len(text) == len(soft) and torch.allclose(text, soft, atol=1e-5)]
        for soft in found
    ]
    assert all(len(place) == 1 for place in places)
    return [place[0] for place in places]


@pytest.fixture
def row(learnable, draws):
    (one,) = draws(learnable.show).batch(["task0"], 1, "row")
    return one


def test_every_row_of_a_batch_has_noise_of_its_own_and_the_same_at_every_call(learnable, row, tiny_model):
    first = chosen(learnable, row, tiny_model, rows=40, seed=5)
    assert len(set(first)) > 1
    assert first == chosen(learnable, row, tiny_model, rows=40, seed=5)
    assert first != chosen(learnable, row, tiny_model, rows=40, seed=6)


def test_rows_choose_as_often_as_the_softmax_says(learnable, row, tiny_model):
    """The maximum of logits plus Gumbel noise is distributed as their softmax."""
    allowed = torch.tensor(learnable.known["task0"].allowed(learnable.by_id[row.task_id, row.example_id]))
    with torch.no_grad():
        learnable.phi[0][0, 0] = torch.tensor([0.0, 1.0, 2.0, 0.5])
    expected = learnable.phi[0][0, 0].detach().masked_fill(~allowed, -torch.inf).softmax(0)
    counts = Counter(chosen(learnable, row, tiny_model, rows=600, seed=1))
    for place, share in enumerate(expected.tolist()):
        assert counts[place] / 600 == pytest.approx(share, abs=4 * (max(share * (1 - share), 1e-12) / 600) ** 0.5 + 1e-9)
