"""Losses against formulas written out, and the head at chosen places against full logits."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from instune.tuning.batches import collate, micro_batches
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.loss import head_at, hidden_at, nll_of_labels, row_scale, row_share, token_nll
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import WeightedLoss

HOW = ["weights", "weighted_tokens", "output_tokens", "examples"]
# (token ids, loss weights, number of output tokens): three rows of unlike length.
RAW = [
    ([11, 12, 13, 14, 15], [0.0, 0.5, 0.5, 1.0, 1.0], 2),
    ([21, 22, 23], [0.0, 0.0, 1.0], 1),
    ([31, 32, 33, 34, 35, 36, 37, 38], [0.0, 0.25, 0.0, 0.25, 0.0, 1.0, 1.0, 1.0], 3),
]


def rows_of(raw, how) -> list[TrainingRow]:
    rows = []
    for ids, weights, outputs in raw:
        labels = [token if weight else IGNORE_INDEX for token, weight in zip(ids, weights, strict=True)]
        scaled = [row_scale(weights, how) * weight for weight in weights]
        rows.append(TrainingRow(ids, labels, scaled, row_share(weights, outputs, how), "task0"))
    return rows


def step_gradient(model, rows, limit) -> tuple[float, torch.Tensor]:
    """Loss and flat gradient of one optimizer step over micro-batches of at most `limit` padded tokens."""
    model.zero_grad()
    module, share, total = WeightedLoss(model), sum(row.share for row in rows), 0.0
    for group in micro_batches(rows, limit):
        loss = module(collate(group, pad_id=0)) / share
        loss.backward()
        total += loss.item()
    return total, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def brute_force(model, how) -> torch.Tensor:
    """The step's loss row by row without padding, from the formulas of the four denominators."""
    numerators, weight_sums, counts, outputs = [], [], [], []
    for ids, weights, output_tokens in RAW:
        logp = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        nll = -torch.stack([logp[position - 1, ids[position]] for position in range(1, len(ids))])
        numerators.append((torch.tensor(weights[1:]) * nll).sum())
        weight_sums.append(sum(weights))
        counts.append(sum(weight > 0 for weight in weights))
        outputs.append(output_tokens)
    if how == "examples":
        return sum(value / size for value, size in zip(numerators, weight_sums, strict=True)) / len(RAW)
    return sum(numerators) / {"weights": sum(weight_sums), "weighted_tokens": sum(counts), "output_tokens": sum(outputs)}[how]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("limit", [8, 100])  # one row at a time, all at once
def test_step_loss_and_gradient_follow_the_formula(tiny_model, how, limit):
    expected = brute_force(tiny_model, how)
    tiny_model.zero_grad()
    expected.backward()
    truth = torch.cat([parameter.grad.flatten() for parameter in tiny_model.parameters()])
    loss, gradient = step_gradient(tiny_model, rows_of(RAW, how), limit)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert (gradient - truth).norm() <= 1e-5 * truth.norm()


def test_weights_between_0_and_1_are_linear_in_numerator_and_denominator(tiny_model):
    def parts(prompt_weight: float) -> tuple[float, float]:
        raw = [(ids, [0.0, *[prompt_weight if i < 3 else 1.0 for i in range(1, len(ids))]], len(ids) - 3) for ids, _, _ in RAW]
        rows = rows_of(raw, "weights")
        return WeightedLoss(tiny_model)(collate(rows, pad_id=0)).item(), sum(row.share for row in rows)

    (zero, all_outputs), (half, _), (one, everything) = parts(0.0), parts(0.5), parts(1.0)
    assert half == pytest.approx((zero + one) / 2, rel=1e-5)
    assert parts(0.5)[1] == pytest.approx((all_outputs + everything) / 2)
    assert everything == sum(len(ids) - 1 for ids, _, _ in RAW)
    assert all_outputs == sum(len(ids) - 3 for ids, _, _ in RAW)


def test_token_nll_is_shifted_float32_and_zero_where_ignored():
    logits = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.tensor([[1, 2, IGNORE_INDEX, 4], [IGNORE_INDEX, IGNORE_INDEX, 5, 6]])
    nll = token_nll(logits, labels)
    assert nll.dtype == torch.float32
    logp = logits.float().log_softmax(-1)
    truth = [[-logp[0, 0, 2], 0.0, -logp[0, 2, 4]], [0.0, -logp[1, 1, 5], -logp[1, 2, 6]]]
    assert torch.allclose(nll, torch.tensor(truth), atol=1e-6)


def test_padding_of_any_id_changes_nothing(tiny_model):
    rows = rows_of(RAW, "weights")
    losses = [WeightedLoss(tiny_model)(collate(rows, pad_id=pad)).item() for pad in (0, 2, 15)]
    alone = sum(WeightedLoss(tiny_model)(collate([row], pad_id=0)).item() for row in rows)
    assert losses == [losses[0]] * 3
    assert losses[0] == pytest.approx(alone, rel=1e-6)


def other_models():
    """Models whose head is reached by other ways than Llama's."""
    torch.manual_seed(0)
    yield GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=16))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_head_at_places_gives_the_logits_of_a_full_pass(tiny_model, name):
    model = tiny_model if name == "llama" else next(other_models())
    model.eval()
    ids = torch.randint(40, (2, 6), generator=torch.Generator().manual_seed(0))
    keep = torch.tensor([[0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0]]).bool()
    with head_at(model, keep):
        chosen = model(ids, use_cache=False).logits
    assert chosen.shape == (4, model.config.vocab_size)
    assert torch.allclose(chosen, model(ids).logits[keep], atol=1e-6)


def test_hidden_states_at_places_are_what_the_head_would_read_and_logits_a_single_zero(tiny_model):
    ids = torch.randint(40, (2, 6), generator=torch.Generator().manual_seed(0))
    keep = torch.tensor([[0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 0]]).bool()
    whole = tiny_model(ids).logits
    with hidden_at(tiny_model, keep) as found:
        assert tiny_model(ids, use_cache=False).logits.tolist() == [[0.0]]
    assert torch.allclose(tiny_model.get_output_embeddings()(found[0]), whole[keep], atol=1e-6)
    assert torch.equal(tiny_model(ids).logits, whole)


def test_seq2seq_loss_is_the_models_own(tokenizer):
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=60, decoder_start_token_id=0, pad_token_id=0, **sizes)).eval()
    source, target = [11, 12, 13, 1], [21, 22, 1]
    labels = [IGNORE_INDEX] * len(source) + target
    weights = [0.0] * len(source) + [1.0] * len(target)
    long = TrainingRow([*source, 14, *target], [IGNORE_INDEX, *labels], [0.0, *weights], 3.0, "task0", source=5)
    row = TrainingRow([*source, *target], labels, weights, 3.0, "task0", source=4)
    loss = WeightedLoss(model)(collate([row, long], pad_id=0, decoder_start_id=0)).item()
    truth = 0.0
    for ids in (source, [*source, 14]):
        truth += 3 * model(input_ids=torch.tensor([ids]), labels=torch.tensor([target])).loss.item()
    assert loss == pytest.approx(truth, rel=1e-5)


def test_soft_instruction_stands_in_the_input_embeddings(tiny_model):
    table = tiny_model.get_input_embeddings().weight.detach()
    ids, labels = [11, 0, 0, 14, 15], [IGNORE_INDEX] * 4 + [15]
    row = TrainingRow(ids, labels, [0.0] * 4 + [1.0], 1.0, "task0", soft=(1, 2))
    other = TrainingRow([21, 22, 23], [IGNORE_INDEX, IGNORE_INDEX, 23], [0.0, 0.0, 1.0], 1.0, "task1")
    soft = [table[[12, 13]].clone()]
    loss = WeightedLoss(tiny_model)(collate([other, row], pad_id=0, soft_prompts=soft)).item()
    hard = TrainingRow([11, 12, 13, 14, 15], labels, row.loss_weights, 1.0, "task0")
    assert loss == pytest.approx(WeightedLoss(tiny_model)(collate([other, hard], pad_id=0)).item(), rel=1e-6)


def test_nll_of_labels_equals_the_framework_s_loss():
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 8, IGNORE_INDEX, 3, 3])
    mean = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX)
    assert nll_of_labels(logits, labels).sum().item() / 4 == pytest.approx(mean.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "computed"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_likelihood_is_computed_in_float32_or_wider(given, computed):
    logits, labels = torch.tensor([[0.0, 1e-9]], dtype=given), torch.tensor([1])
    nll = nll_of_labels(logits, labels)
    assert nll.dtype is computed
    assert nll.item() == torch.logsumexp(logits.to(computed)[0] - logits.to(computed)[0, 1], 0).item()
