"""Reweighting of tasks: its weights, its noise case, and the mixture that it leaves to the fine-tuning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
import torch
from makers import make_example, make_task
from planted import SCHEDULE, SOLVE, colour_pool, fold_of, material_of, silent, taught_to

from instune.bilevel.applied import applied
from instune.bilevel.artefact import Artefact
from instune.bilevel.instructions import Passes, batch_parts
from instune.bilevel.parameterizations.reweight import Reweight
from instune.bilevel.schedule import Split
from instune.scratch_model import new_model
from instune.tuning.mixture import weighted


def test_weights_of_a_batch_are_a_softmax_over_its_rows_times_their_number(material, draws):
    learnable = Reweight(material, ["task0", "task1", "task2"], torch.device("cpu"))
    learnable.load([torch.tensor([0.0, 1.0, 5.0])])
    rows = draws().batch(["task0", "task1"], 5, "weights")
    found = learnable.terms(rows, range(5), lambda ids: ids, seed=0).weights
    exponents = torch.tensor([{"task0": 0.0, "task1": 1.0}[row.task_id] for row in rows]).exp()
    assert torch.allclose(found, 5 * exponents / exponents.sum())  # task2, which the batch lacks, takes nothing away
    assert found.mean().item() == pytest.approx(1.0)
    part = learnable.terms(rows, [3, 1], lambda ids: ids, seed=0).weights
    assert torch.equal(part, found[[3, 1]])


def test_equal_logits_give_the_plain_loss_and_a_heavy_task_the_loss_of_its_rows(tiny_model, material, draws):
    learnable = Reweight(material, ["task0", "task1", "task2"], torch.device("cpu"))
    rows, passes = draws().batch(["task0", "task1"], 6, "same"), Passes(material.tokenizer.pad_token_id)

    def weighted_loss():
        return sum(batch_parts(tiny_model, rows, passes, lambda part: learnable.terms(rows, part, tiny_model, seed=0))).item()

    assert weighted_loss() == pytest.approx(sum(batch_parts(tiny_model, rows, passes)).item(), rel=1e-6)
    learnable.load([torch.tensor([40.0, 0.0, 0.0])])
    own = [row for row in rows if row.task_id == "task0"]
    total = sum(batch_parts(tiny_model, own, passes)).item() * sum(row.share for row in own)
    assert weighted_loss() == pytest.approx(total * 6 / len(own) / sum(row.share for row in rows), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_noisy_tasks_get_low_weight(tokenizer, tmp_path, seed):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=seed, attention="eager")
    noisy, clean, test = ["task0", "task2", "task4"], ["task1", "task3", "task5"], ["task6", "task7"]
    tasks, examples = colour_pool(6, 2, noisy=noisy)
    material = material_of(tasks, examples, tokenizer, model)
    taught_to(model, material, test, loss=0.4, rows=48)  # what is right has to be half known before wrong answers can do harm
    learnable = Reweight(material, sorted(noisy + clean), model.device)
    fold = fold_of(model, material, learnable, Split(learnable.task_ids, test))
    changes = {"batch_size": 24, "meta_batch_size": 64, "inner_learning_rate": 0.01, "outer_learning_rate": 0.2}
    fold.optimize(replace(SCHEDULE, outer_steps=20, **changes), SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    weights = learnable.weights()
    assert max(weights[task] for task in noisy) < min(weights[task] for task in clean)
    assert sum(weights[task] for task in noisy) < 1.0  # 3 at the start


def test_the_mixture_draws_tasks_by_weight_and_their_examples_in_full_before_any_repeats():
    tasks = [make_task(number) for number in range(3)]
    examples = {task.task_id: [make_example(task, number) for number in range(4)] for task in tasks}
    drawn = list(islice(weighted(examples, {"task0": 2.0, "task1": 1.0, "task2": 0.0}, seed=0), 12))
    assert Counter(example.task_id for _, example in drawn) == {"task0": 8, "task1": 4}
    for length in range(1, 13):
        count = sum(example.task_id == "task0" for _, example in drawn[:length])
        assert abs(count - length * 2 / 3) <= 1
    own = [example.example_id for _, example in drawn if example.task_id == "task0"]
    assert len(set(own[:4])) == len(set(own[4:])) == 4
    assert [number for number, _ in drawn] == [0] * 12
    assert list(weighted(examples, dict.fromkeys(examples, 0.0), seed=0)) == []


def test_the_artefact_hands_its_weights_to_the_fine_tuning_and_leaves_the_prompts_human(material):
    use = applied(
        Artefact("reweight", "abc", ("task0",), {"logits": torch.zeros(1)}, {"weights": {"task0": 0.5}}), lambda: material
    )
    assert use.weights == {"task0": 0.5}
    task = material.tasks["task0"]
    assert use.show(task, material.examples["task0"][0]).soft_tokens == 0
