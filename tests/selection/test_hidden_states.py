import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from instune.selection.hidden_states import hidden_states, weighted_mean
from instune.tuning.rows import TrainingRow


def row(*ids):
    return TrainingRow(list(ids), list(ids), [0.0] + [1.0] * (len(ids) - 1), 1.0, "task")


GROUPS = [[row(5, 9, 17, 30, 2), row(8, 8), row(40, 41, 42)], [row(7)], [row(5, 9, 17, 30, 2)]]


def computed(model, batch_tokens, groups=GROUPS, advance=lambda tokens: None):
    return hidden_states(groups, advance, model=model, pad_id=0, batch_tokens=batch_tokens, precision="float32")


@pytest.mark.parametrize("batch_tokens", [1, 7, 100])
def test_vectors_equal_a_loop_over_tokens(tiny_model, batch_tokens):
    found = computed(tiny_model, batch_tokens)
    for rows, vectors in zip(GROUPS, found, strict=True):
        assert vectors.dtype == np.float32
        for one, vector in zip(rows, vectors, strict=True):
            with torch.no_grad():
                states = tiny_model(torch.tensor([one.input_ids]), output_hidden_states=True).hidden_states[-1][0]  # (T, d)
            total, weights = torch.zeros(states.shape[1]), 0
            for place, state in enumerate(states, 1):
                total, weights = total + place * state, weights + place
            expected = (total / weights).numpy()
            np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-6)


def test_an_encoder_reads_source_and_target_of_an_encoder_decoder_model():
    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(vocab_size=60, decoder_start_token_id=0, pad_token_id=0, **size)).eval()
    for rows, vectors in zip(GROUPS, computed(model, 100), strict=True):
        for one, vector in zip(rows, vectors, strict=True):
            with torch.no_grad():
                states = model.encoder(torch.tensor([one.input_ids])).last_hidden_state[0]  # (T, d)
            expected = (torch.arange(1.0, len(states) + 1) @ states).numpy()
            np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=2e-6)


def test_padding_and_neighbours_do_not_matter(tiny_model):
    found = computed(tiny_model, 100)
    np.testing.assert_allclose(found[0][0], found[2][0], atol=1e-6)


def test_a_group_gives_the_same_bytes_whatever_stands_beside_it(tiny_model):
    alone = computed(tiny_model, 100, GROUPS[:1])
    assert alone[0].tobytes() == computed(tiny_model, 100)[0].tobytes()


def test_later_positions_weigh_more():
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    mean = weighted_mean(states, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(mean, torch.tensor([[1 / 3, 2 / 3]]))


def test_progress_counts_tokens_without_padding(tiny_model):
    done = []
    computed(tiny_model, 100, advance=done.append)
    assert sum(done) == 16
