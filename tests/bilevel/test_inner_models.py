"""Inner models of other kinds: encoder-decoders, adapters, matrix products in bfloat16, Adam, all through the same loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import SCHEDULE, SOLVE, fold_of, silent
from tokenizers import processors
from transformers import T5Config, T5ForConditionalGeneration

from instune.bilevel.instructions import batch_parts
from instune.bilevel.parameterizations.base import Terms
from instune.bilevel.parameterizations.embedder_direct import EmbedderDirect
from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect
from instune.bilevel.parameterizations.reweight import Reweight
from instune.bilevel.schedule import Split, Validation
from instune.bilevel.vectors import cosine
from instune.errors import InputError
from instune.prompts import load_template
from instune.scratch_model import train_tokenizer
from instune.tuning.adapters import add_lora

TRAIN, TEST = ["task0", "task1", "task2"], ["task3", "task4", "task5"]
STEPS = replace(SCHEDULE, outer_steps=2, batch_size=3, meta_batch_size=3, inner_learning_rate=0.02)


@pytest.fixture
def t5_tokenizer():
    """A tokenizer that ends a text with </s>, as T5's do."""
    made = train_tokenizer(["Name the colour of the fruit in the text. Input: Output: red\n"] * 20, vocab_size=350)
    made.add_special_tokens({"eos_token": "</s>", "pad_token": "<|pad|>"})
    special = [("</s>", made.convert_tokens_to_ids("</s>"))]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=special)
    return made


@pytest.fixture
def t5(t5_tokenizer):
    """A random two-layer T5."""
    config = T5Config(
        vocab_size=len(t5_tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.1,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return T5ForConditionalGeneration(config).eval()


@pytest.fixture
def t5_material(material, t5, t5_tokenizer):
    template = load_template("plain", t5_tokenizer, seq2seq=True)
    table = t5.get_input_embeddings().weight.detach().clone()
    return replace(material, tokenizer=t5_tokenizer, template=template, table=table)


def test_a_soft_instruction_in_an_encoders_source_equal_to_token_embeddings_gives_the_loss_of_those_tokens(t5, t5_material):
    learnable = EmbedderDirect(t5_material, TRAIN, t5.device, soft_tokens=6, initial="definition")
    fold = fold_of(t5, t5_material, learnable, Split(TRAIN, TEST))
    passes = replace(fold.passes, decoder_start_id=0)
    rows = fold.inner.batch(TRAIN, 2, "source")
    table, tokens = t5.get_input_embeddings().weight.detach(), [10, 20, 30]  # fewer than the place: the source shrinks with it
    terms = Terms([table[torch.tensor(tokens)]] * 2)
    loss = sum(batch_parts(t5, rows, passes, lambda part: terms)).item()
    total = count = 0.0
    for row in rows:
        start, length = row.soft
        source = row.input_ids[:start] + tokens + row.input_ids[start + length : row.source]
        target = torch.tensor([row.input_ids[row.source :]])
        mean = t5(input_ids=torch.tensor([source]), labels=target).loss.item()
        total, count = total + mean * target.shape[1], count + target.shape[1]
    assert loss == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("product", ["central_difference", "double_backward"])
def test_an_encoder_decoder_learns_through_the_same_loop(t5, t5_material, tmp_path, product):
    learnable = EmbedderDirect(t5_material, TRAIN, t5.device, soft_tokens=3, initial="definition")
    fold = fold_of(t5, t5_material, learnable, Split(TRAIN, TEST))
    fold.passes = replace(fold.passes, decoder_start_id=0)
    before = learnable.copy()[0]
    state = fold.optimize(STEPS, replace(SOLVE, product=product), checkpoint=tmp_path / "fold.pt", log=silent)
    assert all(not torch.equal(a, b) for a, b in zip(before, state.phi[0], strict=True))
    assert all(facts["hypergradient_norm"] > 0 for facts in state.history)


def test_with_adapters_the_base_weights_stay_bit_for_bit(tiny_model, new_fold, tmp_path):
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    model = add_lora(tiny_model, rank=2, alpha=4.0, dropout=0.0, seed=0)
    fold = new_fold(model)
    assert all("lora" in name for name, tensor in model.named_parameters() if tensor.requires_grad)
    state = fold.optimize(STEPS, SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    after = model.state_dict()
    kept = [name for name in after if "lora" not in name]
    assert all(
        torch.equal(after[name], before[name.removeprefix("base_model.model.").replace(".base_layer", "")]) for name in kept
    )
    assert any(tensor.abs().sum() > 0 for name, tensor in after.items() if "lora_B" in name)
    assert state.history[-1]["hypergradient_norm"] > 0


def test_bfloat16_products_leave_parameters_and_phi_in_float32_and_point_the_same_way(tiny_model, new_fold, material):
    found = []
    for precision in ("float32", "bfloat16"):
        learnable = Reweight(material, TRAIN, tiny_model.device)
        fold = new_fold(tiny_model, learnable=learnable, precision=precision)
        assert {tensor.dtype for tensor in [*fold.theta, *fold.phi]} == {torch.float32}
        parts = list(fold.inner_loss(6, 0)())
        found.append(torch.autograd.grad(sum(parts), fold.theta, materialize_grads=True))
    assert not all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert cosine(*found) > 0.99


def test_validation_keeps_the_best_parameters_and_stops_when_the_best_is_long_ago(tiny_model, new_fold, tmp_path):
    fold = new_fold(tiny_model, split=Split(TRAIN, ["task3"], ["task4", "task5"]))
    losses, kept = iter([3.0, 2.0, 2.5, 2.4, 9.0]), []

    def measured(rows):
        kept.append(fold.learnable.copy()[0])
        return next(losses)

    fold.validation_loss = measured
    schedule = replace(STEPS, outer_steps=9, validation=Validation(rows=4, every=1, patience=2))
    state = fold.optimize(schedule, SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    assert (state.step, state.best_step, state.best_loss) == (4, 2, 2.0)
    assert torch.equal(state.phi[0], kept[1])
    assert not torch.equal(state.phi[0], kept[3])
    assert [facts["validation_loss"] for facts in state.history] == [3.0, 2.0, 2.5, 2.4]


def test_validation_is_the_loss_of_its_own_tasks_with_human_instructions(tiny_model, new_fold):
    fold = new_fold(tiny_model, split=Split(TRAIN, ["task3"], ["task4", "task5"]))
    rows = fold.human.batch(["task4", "task5"], 6, "fold0", "validation")
    assert fold.validation_loss(6) == pytest.approx(sum(batch_parts(tiny_model, rows, fold.passes)).item(), rel=1e-6)
    assert {row.task_id for row in rows} <= {"task4", "task5"}
    assert all(row.soft == (0, 0) for row in rows)


def test_a_meta_test_task_without_instances_is_named(tiny_model, new_fold, material):
    fold = new_fold(tiny_model, split=Split(TRAIN, ["task3", "bare"]))
    with pytest.raises(InputError, match=r"task bare has no examples(.|\n)*Leave it out of the selection"):
        fold.outer_loss(2, 0)


def test_exemplars_that_leave_no_room_are_refused_with_what_to_lower(tiny_model, new_fold, material):
    material = replace(material, prompt=material.prompt.model_copy(update={"max_tokens": 40}))
    choice = {"candidates": 4, "max_tokens": 50, "choice": "hard", "temperature": 1.0, "gumbel": False, "instruction": True}
    fold = new_fold(tiny_model, learnable=ExtractorDirect(material, TRAIN, tiny_model.device, exemplars=3, **choice))
    fold.inner.builder.prompt = material.prompt
    with pytest.raises(InputError, match=r"no batch of 2 examples fits(.|\n)*optimize\.extractor\.max_tokens"):
        fold.inner_loss(2, 0)
