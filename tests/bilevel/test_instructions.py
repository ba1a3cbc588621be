"""Soft instructions: where they start, where they stand, and what the loss counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from instune.bilevel.describe import diversity, nearest_tokens
from instune.bilevel.hypergradient import DoubleBackward, hypergradient
from instune.bilevel.instructions import batch_parts, evaluation_mode
from instune.bilevel.parameterizations.base import Terms
from instune.bilevel.parameterizations.initial import initial_prompts
from instune.bilevel.parameterizations.reweight import Reweight
from instune.bilevel.solvers.neumann import neumann
from instune.tuning.labels import IGNORE_INDEX

TRAIN = ["task0", "task1", "task2"]


def test_definition_start_is_the_definitions_embeddings_repeated_to_length(material, tokenizer):
    ids = tokenizer(material.tasks["task0"].definition, add_special_tokens=False)["input_ids"]
    start = initial_prompts(material, ["task0"], soft_tokens=len(ids) + 2, initial="definition")
    assert torch.equal(start[0], material.table[torch.tensor([*ids, *ids[:2]])])


def test_random_start_has_the_tables_mean_and_scale_and_follows_the_seed(material):
    table = torch.randn(100, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + 5
    first, again, other = (
        initial_prompts(replace(material, table=table, seed=seed), list(material.tasks), soft_tokens=500, initial="random")
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    flat = first.flatten(0, 1)
    assert torch.allclose(flat.mean(0), table.mean(0), atol=0.3)
    assert torch.allclose(flat.std(0), table.std(0), rtol=0.05)


def test_frequent_start_draws_tokens_of_the_tasks_own_texts_and_differs_by_task(material):
    ids = {token for task in material.tasks.values() for token in material.ids(task.definition)}
    ids |= {token for rows in material.examples.values() for row in rows for token in material.ids(row.input)}
    ids |= set(material.ids("red"))
    start = initial_prompts(material, ["task0", "task1"], soft_tokens=6, initial="frequent")
    rows = {tuple(row.tolist()) for row in material.table[torch.tensor(sorted(ids))]}
    assert all(tuple(vector.tolist()) in rows for vector in start.flatten(0, 1))
    assert not torch.equal(start[0], start[1])


def test_category_start_is_shared_within_a_category_and_begins_with_its_most_frequent_token(material):
    start = initial_prompts(material, ["task0", "task1", "task3"], soft_tokens=30, initial="category")
    assert torch.equal(start[0], start[2])  # tasks 0, 3 and 6 are of one category
    assert not torch.equal(start[0], start[1])
    counts = Counter(token for number in (0, 3, 6) for token in material.ids(material.tasks[f"task{number}"].definition))
    best = min(counts, key=lambda token: (-counts[token], token))
    assert torch.equal(start[0, 0], material.table[best])


def test_soft_instruction_equal_to_token_embeddings_gives_the_loss_of_those_tokens(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    rows = fold.inner.batch(["task1"], 1, "one")
    start, length = rows[0].soft
    table, tokens = tiny_model.get_input_embeddings().weight.detach(), [10, 20, 30, 40]
    (soft,) = batch_parts(tiny_model, rows, fold.passes, lambda part: Terms([table[torch.tensor(tokens)]]))
    ids = torch.tensor([rows[0].input_ids[:start] + tokens + rows[0].input_ids[start + length :]])
    logits = tiny_model(input_ids=ids).logits[0, :-1]
    expected = F.cross_entropy(logits, torch.tensor(rows[0].labels[1:]), ignore_index=IGNORE_INDEX)
    assert length == 4
    assert soft.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_place_longer_than_its_embeddings_is_shortened_so_that_nothing_has_to_be_masked(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    rows = fold.inner.batch(["task1", "task0"], 2, "two")
    table = tiny_model.get_input_embeddings().weight.detach()
    short = [table[torch.tensor([10, 20])], table[torch.tensor([30, 40, 50])]]
    (mixed,) = batch_parts(tiny_model, rows, fold.passes, lambda part: Terms([short[index] for index in part]))
    total = count = 0.0
    for row, tokens in zip(rows, ([10, 20], [30, 40, 50]), strict=True):
        start, length = row.soft
        logits = tiny_model(input_ids=torch.tensor([row.input_ids[:start] + tokens + row.input_ids[start + length :]])).logits
        labels = torch.tensor((row.labels[:start] + [IGNORE_INDEX] * len(tokens) + row.labels[start + length :])[1:])
        total += F.cross_entropy(logits[0, :-1], labels, ignore_index=IGNORE_INDEX, reduction="sum").item()
        count += (labels != IGNORE_INDEX).sum().item()
    assert mixed.item() == pytest.approx(total / count, rel=1e-5)


def test_the_loss_is_the_mean_over_the_outputs_tokens_of_all_rows(tiny_model, new_fold):
    fold = new_fold(tiny_model)
    rows = fold.human.batch(["task3", "task4"], 3, "some")
    total = count = 0.0
    for row in rows:
        labels = torch.tensor(row.labels[1:])
        logits = tiny_model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1]
        total += F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum").item()
        count += (labels != IGNORE_INDEX).sum().item()
    assert sum(batch_parts(tiny_model, rows, fold.passes)).item() == pytest.approx(total / count, rel=1e-6)


def test_micro_batches_give_the_same_hypergradient_as_the_whole_batch(tiny_model, new_fold, material):
    found = []
    for limit in (None, 1):
        fold = new_fold(tiny_model, learnable=Reweight(material, TRAIN, tiny_model.device), micro_batch_tokens=limit)
        inner, outer = fold.inner_loss(4, 0), fold.outer_loss(4, 0)
        assert len(list(inner())) == (1 if limit is None else 4)
        keywords = {"products": DoubleBackward, "solve": partial(neumann, terms=1, gamma=0.02)}
        found.append(hypergradient(inner, outer, fold.theta, fold.phi, **keywords))
    whole, parts = found
    assert parts.outer_loss == pytest.approx(whole.outer_loss, rel=1e-6)
    assert torch.allclose(parts.gradient[0], whole.gradient[0], rtol=1e-3, atol=1e-8)


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
