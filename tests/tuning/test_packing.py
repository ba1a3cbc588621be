"""Packed rows: tensors written by hand, and every row's loss and gradient as if it stood alone, in each kind of attention."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from instune.errors import InputError
from instune.scratch_model import new_model
from instune.tuning.batches import collate
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.packing import collate_packed, packs
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import WeightedLoss


def row_of(ids, weights, soft=(0, 0)) -> TrainingRow:
    labels = [token if weight else IGNORE_INDEX for token, weight in zip(ids, weights, strict=True)]
    return TrainingRow(ids, labels, weights, sum(weights), "task0", soft)


ROWS = [
    row_of([11, 12, 13, 14, 15], [0.0, 0.5, 0.0, 1.0, 1.0]),
    row_of([21], [0.0]),  # no token that anything predicts
    row_of([31, 32, 33, 34, 35, 36, 37, 38], [0.0, 0.25, 0.0, 0.25, 0.0, 1.0, 1.0, 1.0]),
    row_of([41, 42], [0.0, 2.0]),
]


def random_rows(lengths) -> list[TrainingRow]:
    generator = torch.Generator().manual_seed(0)
    return [
        row_of(torch.randint(300, (length,), generator=generator).tolist(), [0.0] + [1.0] * (length - 1)) for length in lengths
    ]


def gradient(model, batches) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    loss = sum(WeightedLoss(model)(batch) for batch in batches)
    loss.backward()
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def assert_like_alone(model, rows) -> None:
    packed, its_gradient = gradient(model, [collate_packed(rows)])
    alone, true_gradient = gradient(model, [collate([row], pad_id=0) for row in rows])
    assert packed == pytest.approx(alone, rel=1e-5)
    assert (its_gradient - true_gradient).norm() <= 1e-5 * true_gradient.norm()


def test_tensors_of_a_pack_are_those_written_by_hand():
    batch = collate_packed([ROWS[0], ROWS[1], ROWS[3]])
    x = IGNORE_INDEX
    assert batch["input_ids"].tolist() == [[11, 12, 13, 14, 15, 21, 41, 42]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 0, 1]]
    assert batch["row_starts"].tolist() == [0, 5, 6, 8]
    assert batch["labels"].tolist() == [[12, x, 14, 15, x, x, 42, x]]
    assert batch["loss_weights"].tolist() == [[0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 2.0, 0.0]]
    assert "attention_mask" not in batch


def test_a_label_on_a_rows_first_token_is_dropped():
    row = TrainingRow([5, 6], [5, 6], [1.0, 1.0], 2.0, "task0")
    batch = collate_packed([row, row])
    assert batch["labels"].tolist() == [[6, IGNORE_INDEX, 6, IGNORE_INDEX]]
    assert batch["loss_weights"].tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_packs_take_the_longest_first_into_the_first_room():
    rows = random_rows([5, 9, 3, 40, 7, 2, 5])
    assert [[len(row.input_ids) for row in pack] for pack in packs(rows, 16)] == [[40], [9, 7], [5, 5, 3, 2]]
    assert {id(row) for pack in packs(rows, 16) for row in pack} == {id(row) for row in rows}
    assert packs(rows, 1000)[0][3:5] == [rows[0], rows[6]]  # rows of one length in their order


@pytest.mark.parametrize("attention", ["eager", "sdpa", "rows"])
def test_packed_rows_have_the_loss_and_gradient_of_rows_alone(tokenizer, attention):
    kind = "sdpa" if attention == "rows" else attention
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention=kind)
    if attention == "rows":
        attend_by_row(model)
    assert_like_alone(model, ROWS)


def test_a_mask_of_ones_would_mix_the_rows(tiny_model):
    batch = collate_packed(ROWS)
    apart = tiny_model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    mask = torch.ones_like(batch["input_ids"])
    mixed = tiny_model(batch["input_ids"], position_ids=batch["position_ids"], attention_mask=mask, use_cache=False).logits
    assert torch.allclose(apart[:, :5], mixed[:, :5], atol=1e-5)
    assert (apart[:, 5:] - mixed[:, 5:]).abs().max() > 1e-3


def test_what_stands_in_one_row_leaves_the_others_bit_for_bit(tokenizer):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    attend_by_row(model)
    batch = collate_packed(ROWS)
    other = batch | {"input_ids": batch["input_ids"].clone()}
    other["input_ids"][0, 2:6] = torch.tensor([7, 8, 9, 10])
    names = ("input_ids", "position_ids", "row_starts")
    first, second = (model(**{name: each[name] for name in names}, use_cache=False).logits for each in (batch, other))
    assert torch.equal(first[:, 6:], second[:, 6:])
    assert not torch.equal(first[:, 2:6], second[:, 2:6])


def test_grouped_heads_and_a_sliding_window_stay_what_they_are():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=300, **sizes, num_key_value_heads=2, sliding_window=3, head_dim=8)
    model = MistralForCausalLM(config).eval()
    rows = random_rows([3, 9, 2])
    alone, true_gradient = gradient(model, [collate([row], pad_id=0) for row in rows])
    attend_by_row(model)
    packed, its_gradient = gradient(model, [collate_packed(rows)])
    assert packed == pytest.approx(alone, rel=1e-5)
    assert (its_gradient - true_gradient).norm() <= 1e-5 * true_gradient.norm()
    padded, its_gradient = gradient(model, [collate(rows, pad_id=0)])
    assert padded == pytest.approx(alone, rel=1e-5)
    assert (its_gradient - true_gradient).norm() <= 1e-5 * true_gradient.norm()


def test_learned_positions_start_anew_with_every_row():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2, n_positions=16)).eval()
    attend_by_row(model)
    assert_like_alone(model, random_rows([9, 5, 8]))


def test_soft_instructions_stand_in_their_own_rows(tokenizer):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    table = model.get_input_embeddings().weight.detach()
    attend_by_row(model)
    soft = [row_of([51, 0, 0, 54], [0.0, 0.0, 0.0, 1.0], (1, 2)), ROWS[0], row_of([0, 62], [0.0, 1.0], (0, 1))]
    hard = [row_of([51, 71, 72, 54], soft[0].loss_weights), ROWS[0], row_of([73, 62], soft[2].loss_weights)]
    loss = WeightedLoss(model)(collate_packed(soft, soft_prompts=[table[[71, 72]], table[[73]]])).item()
    assert loss == pytest.approx(WeightedLoss(model)(collate_packed(hard)).item(), rel=1e-6)


def test_models_that_cannot_keep_rows_apart_are_refused():
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    with pytest.raises(InputError, match=r"finetune\.packing: true needs a causal model"):
        attend_by_row(T5ForConditionalGeneration(T5Config(vocab_size=60, decoder_start_token_id=0, **sizes)))
    recurrent = MambaForCausalLM(MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, state_size=4)).eval()
    with pytest.raises(InputError, match=r"finetune\.packing: MambaForCausalLM .*\n?.*packing: false"):
        attend_by_row(recurrent)


def test_a_model_that_mixes_rows_is_refused(tiny_model):
    class Leaky(type(tiny_model)):
        def forward(self, *args, position_ids=None, row_starts=None, **settings):
            return super().forward(*args, **settings)

    tiny_model.__class__ = Leaky
    with pytest.raises(InputError, match="does not keep the rows of a pack apart"):
        attend_by_row(tiny_model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="flash attention needs a GPU")
def test_flash_attention_keeps_rows_apart(tokenizer):
    model = new_model(tokenizer, hidden_size=64, layers=2, heads=2, seed=0).cuda()
    rows = random_rows([30, 9, 17])
    alone, true_gradient = gradient(model, [{k: v.cuda() for k, v in collate([row], pad_id=0).items()} for row in rows])
    attend_by_row(model)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        packed, its_gradient = gradient(model, [{k: v.cuda() for k, v in collate_packed(rows).items()}])
    assert packed == pytest.approx(alone, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(its_gradient, true_gradient, dim=0) > 0.999


def test_a_model_whose_logits_are_nan_is_refused(tiny_model):
    tiny_model.model.norm.weight.data[0] = float("nan")
    with pytest.raises(InputError, match="the model's logits are NaN"):
        attend_by_row(tiny_model)
