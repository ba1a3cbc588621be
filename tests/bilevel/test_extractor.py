"""The extractor: whom it may choose, what the row then is, and that it finds the one real exemplar."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from planted import COPYING, SCHEDULE, SOLVE, copy_pool, fold_of, material_of, silent, taught_to

from instune.bilevel.applied import applied
from instune.bilevel.artefact import Artefact
from instune.bilevel.batches import draws_of
from instune.bilevel.instructions import Passes, batch_parts
from instune.bilevel.parameterizations.candidates import Candidate, candidates_of, tabulate
from instune.bilevel.parameterizations.extractor import choose
from instune.bilevel.parameterizations.extractor_direct import ExtractorDirect
from instune.bilevel.schedule import Split
from instune.records import Example, Exemplar
from instune.scratch_model import new_model
from instune.tuning.rows import Counts, Shown, show_human

CHOICE = {"candidates": 32, "max_tokens": 50, "temperature": 1.0, "gumbel": False, "instruction": True}


def new(material, *, exemplars=1, choice="hard", tasks=("task0", "task1", "task2"), **changes):
    return ExtractorDirect(material, tasks, torch.device("cpu"), exemplars=exemplars, choice=choice, **(CHOICE | changes))


def soft_of(learnable, rows, model, seed=0):
    return learnable.terms(rows, range(len(rows)), model.get_input_embeddings(), seed=seed).soft


def test_candidates_are_distinct_short_enough_and_drawn_by_seed(material):
    first, again = (candidates_of(material, "task0", count=3, max_tokens=50) for _ in range(2))
    assert first == again
    assert len({one.exemplar for one in first}) == 3
    assert candidates_of(material, "task0", count=3, max_tokens=5) == []
    orders = {str(candidates_of(replace(material, seed=seed), "task0", count=3, max_tokens=50)) for seed in range(4)}
    assert len(orders) > 1


def test_a_row_never_sees_its_own_instance_nor_one_with_its_input(material, draws, tiny_model):
    learnable = new(material)
    own = material.examples["task0"][0]
    same = Candidate("another", Exemplar(own.input, "blue"))
    learnable.known["task0"] = tabulate(material, [*learnable.known["task0"].candidates, same], 1)
    allowed = learnable.known["task0"].allowed(own)
    hidden = [one.example_id for one, seen in zip(learnable.known["task0"].candidates, allowed, strict=True) if not seen]
    assert sorted(hidden) == sorted([own.example_id, "another"])
    with torch.no_grad():
        learnable.phi[0][0, 0, :] = torch.tensor([0.0 if seen else 9.0 for seen in allowed] + [0.0] * 26)
    row = draws(learnable.show).builder.build(own, Counts())
    seen = soft_of(learnable, [row], tiny_model)[0]
    table = tiny_model.get_input_embeddings().weight
    texts = [
        material.ids(f"Input: {one.exemplar.input}\nOutput: {one.exemplar.output}") for one in learnable.known["task0"].candidates
    ]
    shown = [index for index, ids in enumerate(texts) if torch.allclose(seen[-len(ids) :], table[torch.tensor(ids)], atol=1e-6)]
    assert shown
    assert all(allowed[index] for index in shown)


def test_of_a_task_without_inputs_a_row_sees_the_other_outputs_only():
    own = Example("task0", "one", "", ("a poem", "an ode"))
    served = [Candidate("x", Exemplar("", output)).may_serve(own) for output in ("a poem", "an ode", "a story")]
    assert served == [False, False, True]


def test_a_hard_choice_gives_the_loss_of_the_text_with_that_exemplar_and_the_gradient_of_the_softmax(material, draws, tiny_model):
    learnable = new(material)
    rows = draws(learnable.show).batch(["task0", "task1"], 4, "hard")
    with torch.no_grad():
        learnable.phi[0][:, 0, :5] = torch.tensor([0.1, 0.5, 0.2, 0.4, 0.3])
    passes, embed = Passes(material.tokenizer.pad_token_id), tiny_model.get_input_embeddings()
    loss = sum(batch_parts(tiny_model, rows, passes, lambda part: learnable.terms(rows, part, embed, seed=0)))
    known = {name: learnable.known[name] for name in ("task0", "task1")}

    def with_text(task, example):
        places = [place for place in (1, 3, 4) if known[task.task_id].candidates[place].may_serve(example)]
        return Shown(exemplars=(known[task.task_id].candidates[places[0]].exemplar,))

    builder = draws(with_text).builder
    texts = [builder.build(learnable.by_id[row.task_id, row.example_id], Counts()) for row in rows]
    assert loss.item() == pytest.approx(sum(batch_parts(tiny_model, texts, passes)).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, learnable.phi)
    assert gradient[0].abs().sum() > 0
    assert torch.allclose(gradient.sum(-1), torch.zeros(3, 1), atol=1e-6)  # a softmax does not see a shift of its logits


def test_weights_sum_to_one_exclude_what_is_not_allowed_and_take_nobody_twice():
    logits = torch.tensor([[3.0, 2.0, 1.0, 9.0], [3.0, 2.0, 1.0, 9.0]], requires_grad=True)
    allowed = torch.tensor([True, True, True, False])
    soft, picked = choose(logits, allowed, hard=False)
    assert picked == [0, 1]
    assert torch.allclose(soft.sum(1), torch.ones(2))
    expected = torch.tensor([2.0, 1.0]).softmax(0)
    assert torch.allclose(soft[1], torch.tensor([0.0, expected[0], expected[1], 0.0]))
    hard, _ = choose(logits, allowed, hard=True)
    assert torch.allclose(hard, torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    slopes = [torch.autograd.grad((weights * torch.arange(4.0)).sum(), logits)[0] for weights in (soft, hard)]
    assert torch.allclose(slopes[0][0], slopes[1][0])  # straight-through: the softmax's own slope


def test_temperature_sharpens_and_gumbel_noise_follows_the_seed(material, draws, tiny_model):
    cold, warm = new(material, choice="soft", temperature=0.05), new(material, choice="soft", temperature=20.0)
    for learnable in (cold, warm):
        learnable.load([torch.linspace(0, 10, 32).expand(3, 1, 32)])
    assert cold.probabilities("task0").max() > 0.99
    assert warm.probabilities("task0").max() < 0.22
    noisy = new(material, choice="soft", gumbel=True)
    rows = draws(noisy.show).batch(["task0"], 3, "noise")
    first, again, other = (torch.cat(soft_of(noisy, rows, tiny_model, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    part = noisy.terms(rows, [2], tiny_model.get_input_embeddings(), seed=1).soft[0]
    assert torch.equal(part, soft_of(noisy, rows, tiny_model, 1)[2])


def test_several_places_hold_different_exemplars_and_a_small_task_fewer(material, draws, tiny_model):
    learnable = new(material, exemplars=2)
    row = draws(learnable.show).batch(["task0"], 1, "two")[0]
    text = material.tokenizer.decode(
        [
            int((tiny_model.get_input_embeddings().weight == vector).all(1).nonzero()[0])
            for vector in soft_of(learnable, [row], tiny_model)[0]
        ]
    )
    assert text.count("Input:") == 2
    first, second = text.split("Input: ")[1:]
    assert first.split("\n")[0] != second.split("\n")[0]
    few = replace(material, examples=material.examples | {"task0": material.examples["task0"][:2]})
    alone = new(few, exemplars=2)
    assert alone._slots("task0", few.examples["task0"][0]) == 1
    nobody = new(replace(material, examples=material.examples | {"task0": material.examples["task0"][:1]}))
    assert nobody.show(material.tasks["task0"], material.examples["task0"][0]) == Shown(exemplars=())


def test_beside_the_chosen_exemplar_a_row_shows_none_of_the_tasks_own(material):
    one_shot = replace(material, prompt=material.prompt.model_copy(update={"exemplars": 1}))
    own = material.tasks["task0"].positive_examples[0].input
    for show, seen in ((show_human, True), (new(one_shot).show, False)):
        row = draws_of(one_shot, show).batch(["task0"], 1, "own")[0]
        assert (own in material.tokenizer.decode(row.input_ids)) is seen


def test_the_chosen_exemplar_of_every_task_stands_first_with_its_probability_and_finetune_shows_it(material):
    learnable = new(material)
    logits = torch.zeros(3, 1, 32)
    logits[0, 0, 2] = 5.0
    learnable.load([logits])
    best = learnable.known["task0"].candidates[2]
    first = learnable.chosen("task0")[0]
    assert (first["example_id"], first["output"]) == (best.example_id, best.exemplar.output)
    assert first["probability"][0] == pytest.approx(float(torch.tensor([5.0, 0, 0, 0, 0]).softmax(0)[0]), abs=1e-6)
    use = applied(
        Artefact("extractor_direct", "abc", learnable.task_ids, learnable.tensors(), learnable.settings()), lambda: material
    )
    rows = {row.example_id: row for row in material.examples["task0"]}
    for name, row in rows.items():
        (shown,) = use.show(material.tasks["task0"], row).exemplars
        assert (shown == best.exemplar) is (name != best.example_id)
        assert shown.input != row.input
    assert use.show(material.tasks["task5"], material.examples["task5"][0]) == Shown()


@pytest.mark.parametrize("seed", range(3))
def test_one_real_exemplar_among_31_blanks_is_found(tokenizer, tmp_path, seed):
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=seed, attention="eager")
    tasks, examples = copy_pool("abcd" * 6)  # every part has each letter equally often
    material = material_of(tasks, examples, tokenizer, model, prompt=COPYING)
    names = [task.task_id for task in tasks]
    taught_to(model, material, names[:8], loss=0.5, rows=48)  # 0.7: it cannot use an exemplar; 0: there is nothing to teach it
    learnable = new(material, tasks=names[8:16], choice="soft")
    blanks = [Candidate(f"blank{number}", Exemplar("", "")) for number in range(31)]
    for number, name in enumerate(learnable.task_ids):
        real, place = Candidate("real", material.tasks[name].positive_examples[0]), 7 * number % 32
        learnable.known[name] = tabulate(material, [*blanks[:place], real, *blanks[place:]], 1)
    fold = fold_of(model, material, learnable, Split(learnable.task_ids, names[16:]))
    changes = {"outer_steps": 20, "batch_size": 24, "meta_batch_size": 64, "inner_learning_rate": 0.01}
    fold.optimize(replace(SCHEDULE, **changes), SOLVE, checkpoint=tmp_path / "fold.pt", log=silent)
    found = sum(learnable.chosen(name)[0]["example_id"] == "real" for name in learnable.task_ids)
    assert found / len(learnable.task_ids) >= 0.9
