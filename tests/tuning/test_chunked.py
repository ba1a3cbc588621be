"""Cross-entropy and KL some positions at a time, against plain autograd, brute force and torch's own functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, linear
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from instune.scratch_model import new_model
from instune.tuning import chunked
from instune.tuning.adapters import add_lora
from instune.tuning.batches import collate
from instune.tuning.chunked import Head, Reference, chunked_loss, kl_divergence
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.loss import nll_of_labels
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import TrainingLoss, WeightedLoss

N, D, V = 11, 6, 17


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def problem(*, bias: bool):
    """Hidden states, head, labels, weights, and a base model's states and head."""
    leaf = [draw(N, D, seed=0).requires_grad_(), draw(V, D, seed=1).requires_grad_()]
    leaf.append(draw(V, seed=2).requires_grad_() if bias else None)
    labels = torch.randint(V, (N,), generator=torch.Generator().manual_seed(3))
    weights = draw(N, seed=4).abs()
    return leaf, labels, weights, draw(N, D, seed=5), Head(draw(V, D, seed=6), draw(V, seed=7) if bias else None)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kl_weight", [0.0, 0.7])
@pytest.mark.parametrize("chunk", [1, 3 * V, 1000 * V])
def test_chunked_loss_and_gradients_equal_autograd_on_whole_logits(monkeypatch, bias, kl_weight, chunk):
    monkeypatch.setattr(chunked, "CHUNK_ELEMENTS", chunk)
    leaf, labels, weights, base_hidden, base_head = problem(bias=bias)
    wanted = [tensor for tensor in leaf if tensor is not None]
    logits = linear(*leaf)
    kl = weights @ kl_divergence(logits, linear(base_hidden, *base_head))
    expected = weights @ nll_of_labels(logits, labels) + kl_weight * kl
    truth = torch.autograd.grad(expected * 2.5, wanted)
    reference = Reference(base_hidden, base_head, kl_weight) if kl_weight else None
    loss, its_kl = chunked_loss(leaf[0], Head(*leaf[1:]), labels, weights, reference)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert its_kl.item() == pytest.approx(kl.item() if kl_weight else 0.0, rel=1e-5)
    for ours, theirs in zip(torch.autograd.grad(loss * 2.5, wanted), truth, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_float32_is_no_further_from_float64_than_torchs_own_cross_entropy():
    logits, labels = 6 * draw(64, 49_152, seed=0), torch.randint(49_152, (64,), generator=torch.Generator().manual_seed(1))
    exact = logits.double().requires_grad_()
    truth = cross_entropy(exact, labels, reduction="sum")
    truth.backward()
    peer = logits.clone().requires_grad_()
    theirs = cross_entropy(peer, labels, reduction="sum")
    theirs.backward()
    nll, gradient = chunked._nll(logits.clone(), labels, torch.ones(64))
    assert abs(nll.sum().item() - truth.item()) <= abs(theirs.item() - truth.item())
    assert (gradient - exact.grad).norm() <= (peer.grad - exact.grad).norm()


def test_no_more_logits_than_a_chunk_are_made(monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_ELEMENTS", 3 * V)
    made, real = [], chunked.F.linear
    monkeypatch.setattr(chunked.F, "linear", lambda *args: made.append(real(*args)) or made[-1])
    leaf, labels, weights, base_hidden, base_head = problem(bias=False)
    chunked_loss(leaf[0], Head(*leaf[1:]), labels, weights, Reference(base_hidden, base_head, 1.0))[0].backward()
    assert [tuple(logits.shape) for logits in made] == [(3, V)] * 6 + [(2, V)] * 2


def test_extreme_logits_stay_finite():
    hidden = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], requires_grad=True)
    loss, _ = chunked_loss(hidden, Head(weight, None), torch.tensor([0, 2]), torch.ones(2))
    loss.backward()
    assert loss.item() == 2e4
    assert torch.isfinite(hidden.grad).all()


def test_bfloat16_logits_lose_no_more_than_plain_ones():
    leaf, labels, weights, _, _ = problem(bias=False)
    exact = weights @ nll_of_labels(linear(*leaf[:2]), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = (weights * nll_of_labels(linear(*leaf[:2]), labels)).sum()
        loss, _ = chunked_loss(leaf[0], Head(*leaf[1:]), labels, weights)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    truth, theirs, ours = (torch.autograd.grad(value, leaf[:2]) for value in (exact, plain, loss))
    for right, plain_one, one in zip(truth, theirs, ours, strict=True):
        assert one.dtype == torch.float32
        assert (one - right).norm() <= 1.1 * (plain_one - right).norm()


def rows() -> list[TrainingRow]:
    ids = [[11, 12, 13, 14, 15], [21, 22, 23]]
    return [TrainingRow(row, [IGNORE_INDEX, *row[1:]], [0.0] + [0.5] * (len(row) - 1), 1.0, "task0") for row in ids]


def gradients(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.requires_grad])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("lora", [False, True])
def test_training_loss_equals_the_plain_one_through_the_model(tokenizer, tied, lora):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    if not tied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 1.5)
    if lora:
        model = add_lora(model, rank=2, alpha=4.0, dropout=0.0, seed=0)
    batch = collate(rows(), pad_id=0)
    plain, (loss, _) = WeightedLoss(model)(batch), TrainingLoss(model)(batch)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    truth = gradients(model, plain)
    assert (gradients(model, loss) - truth).norm() <= 1e-5 * truth.norm()


def other_models():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 60}
    sizes |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    yield Gemma2ForCausalLM(Gemma2Config(**sizes, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.5))
    yield CohereForCausalLM(CohereConfig(**sizes, logit_scale=0.5))


@pytest.mark.parametrize("kl_weight", [0.0, 0.5])
def test_models_that_change_their_logits_get_the_loss_of_the_changed_ones(kl_weight):
    for model in other_models():
        module = TrainingLoss(model, kl_weight=kl_weight)
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(1.3)  # away from the base
        batch = collate(rows(), pad_id=0)
        expected = WeightedLoss(model.train())(batch)
        loss, kl = module(batch)
        assert module.whole
        assert (kl.item() > 0) == bool(kl_weight)
        assert (loss - kl_weight * kl).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_batch_without_labels_weighs_nothing_and_still_reaches_every_parameter(tiny_model):
    row = TrainingRow([5, 6, 7], [IGNORE_INDEX] * 3, [0.0] * 3, 0.0, "task0")
    loss, _ = TrainingLoss(tiny_model)(collate([row], pad_id=0))
    assert loss.item() == 0.0
    assert torch.equal(gradients(tiny_model, loss), torch.zeros(sum(p.numel() for p in tiny_model.parameters())))


def test_kl_is_the_sum_over_the_vocabulary_and_torchs():
    logits, base = draw(4, 9, seed=0), draw(4, 9, seed=1)
    p, q = logits.softmax(-1).tolist(), base.softmax(-1).tolist()
    brute = [
        sum(a * torch.log(torch.tensor(a / b)).item() for a, b in zip(*pair, strict=True)) for pair in zip(p, q, strict=True)
    ]
    assert kl_divergence(logits, base).tolist() == pytest.approx(brute, rel=1e-5)
    theirs = kl_div(base.log_softmax(-1), logits.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    assert torch.allclose(kl_divergence(logits, base), theirs, rtol=1e-5)


def released_kl(logits: torch.Tensor, base_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the IM authors' script calls KL: the mean of log p - log q at the data's own tokens."""
    return (nll_of_labels(base_logits, labels) - nll_of_labels(logits, labels)).mean()


def test_the_released_kl_cancels_the_loss_at_weight_1_and_the_true_one_does_not():
    logits, base = draw(4, 9, seed=0).requires_grad_(), draw(4, 9, seed=1)
    labels = torch.tensor([0, 3, 8, 3])
    nll = nll_of_labels(logits, labels).mean()
    plain, cancelled, true = (
        torch.autograd.grad(nll + term, logits, retain_graph=True)[0].norm().item()
        for term in (0.0, released_kl(logits, base, labels), kl_divergence(logits, base).mean())
    )
    assert plain > 0.1
    assert cancelled < 1e-7
    assert true > 0.1


@pytest.mark.parametrize("lora", [False, True])
def test_kl_is_to_the_model_as_it_was_and_only_in_training(tokenizer, lora):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    model = add_lora(model, rank=2, alpha=4.0, dropout=0.0, seed=0) if lora else model
    module, batch = TrainingLoss(model, kl_weight=0.3).train(), collate(rows(), pad_id=0)
    assert len(list(module.parameters())) == len(list(model.parameters()))  # the base is no part of what is trained or saved
    keep = batch["labels"] != IGNORE_INDEX

    def logits() -> torch.Tensor:
        return model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[keep].detach()

    before = logits()
    assert module(batch)[1].item() == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for number, parameter in enumerate(parameter for parameter in model.parameters() if parameter.requires_grad):
            parameter.add_(0.05 * draw(*parameter.shape, seed=number))
    loss, kl = module(batch)
    expected = (batch["loss_weights"][keep] @ kl_divergence(logits(), before)).item()
    assert expected > 1e-3
    assert kl.item() == pytest.approx(expected, rel=1e-4)
    assert model.training
    module.eval()
    assert module(batch)[1].item() == 0.0
    assert module(batch)[0].item() == pytest.approx((loss - 0.3 * kl).item(), rel=1e-5)
