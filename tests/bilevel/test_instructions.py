"""Soft instructions: where they start, where they stand, and what the loss counts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from instune.bilevel.describe import diversity, nearest_tokens
from instune.bilevel.instructions import batch_loss, evaluation_mode, initial_prompts
from instune.tuning.labels import IGNORE_INDEX


def test_definition_start_is_the_definitions_embeddings_repeated_to_length(tiny_pool, tokenizer, tiny_model):
    task = tiny_pool[0]["task0"]
    table = tiny_model.get_input_embeddings().weight
    ids = tokenizer(task.definition, add_special_tokens=False)["input_ids"]
    start = initial_prompts([task], tokenizer, table, soft_tokens=len(ids) + 2, initial="definition", seed=0)
    assert torch.equal(start[0], table[torch.tensor([*ids, *ids[:2]])].detach())
    assert not start.requires_grad


def test_random_start_has_the_tables_mean_and_scale_and_follows_the_seed(tiny_pool, tokenizer):
    tasks = list(tiny_pool[0].values())
    table = torch.randn(100, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + 5
    first, again, other = (
        initial_prompts(tasks, tokenizer, table, soft_tokens=500, initial="random", seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    flat = first.flatten(0, 1)
    assert torch.allclose(flat.mean(0), table.mean(0), atol=0.3)
    assert torch.allclose(flat.std(0), table.std(0), rtol=0.05)


def test_soft_instruction_equal_to_token_embeddings_gives_the_loss_of_those_tokens(tiny_model, new_fold, tokenizer):
    fold = new_fold(tiny_model)
    row = fold.soft.batch(["task1"], 1, "one")[0]
    start, length = row.soft
    table, tokens = tiny_model.get_input_embeddings().weight.detach(), [10, 20, 30, 40]
    soft = batch_loss(tiny_model, [row], pad_id=fold.pad_id, prompts={"task1": table[torch.tensor(tokens)]})
    ids = torch.tensor([row.input_ids[:start] + tokens + row.input_ids[start + length :]])
    logits = tiny_model(input_ids=ids).logits[0, :-1]
    expected = F.cross_entropy(logits, torch.tensor(row.labels[1:]), ignore_index=IGNORE_INDEX)
    assert length == 4
    assert soft.item() == pytest.approx(expected.item(), rel=1e-6)


def test_batch_loss_is_the_mean_over_the_outputs_tokens_of_all_rows(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    rows = fold.human.batch(["task3", "task4"], 3, "some")
    total = count = 0.0
    for row in rows:
        labels = torch.tensor(row.labels[1:])
        logits = tiny_model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1]
        total += F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum").item()
        count += (labels != IGNORE_INDEX).sum().item()
    assert batch_loss(tiny_model, rows, pad_id=fold.pad_id).item() == pytest.approx(total / count, rel=1e-6)


def test_evaluation_mode_gives_every_module_its_own_mode_back(tiny_model):
    tiny_model.train()
    tiny_model.model.layers[0].eval()
    before = [module.training for module in tiny_model.modules()]
    with evaluation_mode(tiny_model):
        assert not any(module.training for module in tiny_model.modules())
    assert [module.training for module in tiny_model.modules()] == before


def test_nearest_tokens_of_a_scaled_embedding_are_itself_with_cosine_one(tiny_model, tokenizer):
    table = tiny_model.get_input_embeddings().weight.detach()
    found = nearest_tokens(3.0 * table[torch.tensor([65, 66])], table, tokenizer)
    assert found == [{"token": tokenizer.decode([token]), "cosine": 1.0} for token in (65, 66)]


def test_diversity_of_orthogonal_equal_and_opposite_instructions():
    orthogonal = diversity(torch.eye(3))
    assert orthogonal["mean_cosine_distance"] == pytest.approx(1.0)
    assert orthogonal["singular_value_entropy"] == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert diversity(torch.ones(3, 4)) == pytest.approx({"mean_cosine_distance": 0.0, "singular_value_entropy": 0.0})
    assert diversity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))["mean_cosine_distance"] == pytest.approx(2.0)
