"""One step however it is computed: packed or padded, at once or in parts, with activations kept or not; and after a resume."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from trainer_settings import SETTINGS

from instune.errors import InputError
from instune.scratch_model import new_model
from instune.tuning.adapters import add_lora
from instune.tuning.batches import collate
from instune.tuning.packing import collate_packed
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import TrainingRow
from instune.tuning.train import Trainer

PLAIN = replace(SETTINGS, max_grad_norm=1e9, batch_size=8, micro_batch_tokens=1000)
EVERYTHING = {"packing": True, "gradient_checkpointing": True, "neftune_alpha": 5.0, "kl_weight": 0.5}


def rows_of(lengths, *, weight=1.0) -> list[TrainingRow]:
    """Rows of which the later half carries loss."""
    generator, rows = torch.Generator().manual_seed(0), []
    for number, length in enumerate(lengths):
        ids = torch.randint(300, (length,), generator=generator).tolist()
        weights = [weight if place > length // 2 else 0.0 for place in range(length)]
        labels = [token if loss else -100 for token, loss in zip(ids, weights, strict=True)]
        rows.append(TrainingRow(ids, labels, weights, sum(weights), "task0", example_id=str(number)))
    return rows


ROWS = rows_of([12, 30, 5, 9, 21, 7, 16, 3])


def trainer(tokenizer, folder, rows=ROWS, *, lora=False, **changes) -> Trainer:
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    settings = replace(PLAIN, **changes)
    if settings.packing:
        attend_by_row(model)
    model = add_lora(model, rank=2, alpha=4.0, dropout=0.2, seed=0) if lora else model
    gather = collate_packed if settings.packing else partial(collate, pad_id=0)
    held_out = [row for row in rows if row.share][:2]
    keywords = {"accelerator": Accelerator(cpu=True), "validation": held_out, "folder": folder, "log": lambda entry: None}
    return Trainer(model, rows, gather, settings=settings, **keywords)


def step_of(made: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and KL of the first step, and its gradient."""
    made.model.train()
    sums = made._accumulate(0, made.rows)
    return sums, torch.cat([parameter.grad.flatten() for parameter in made.model.parameters()])


@pytest.mark.parametrize("terms", [{}, {"neftune_alpha": 5.0, "kl_weight": 0.5}])
@pytest.mark.parametrize(
    "changes",
    [
        {"packing": True},
        {"micro_batch_tokens": 30},  # accumulation over four padded parts and more
        {"packing": True, "micro_batch_tokens": 30},
        {"gradient_checkpointing": True},
        {"packing": True, "gradient_checkpointing": True, "micro_batch_tokens": 30},
    ],
)
def test_loss_and_gradient_of_a_step_do_not_depend_on_how_it_is_computed(tokenizer, tmp_path, changes, terms):
    sums, truth = step_of(trainer(tokenizer, tmp_path, **terms))
    again, gradient = step_of(trainer(tokenizer, tmp_path, **terms, **changes))
    assert again.tolist() == pytest.approx(sums.tolist(), rel=1e-5, abs=1e-6)
    assert (gradient - truth).norm() <= 1e-5 * truth.norm()
    assert truth.norm() > 0.1


def test_packed_and_padded_runs_have_one_curve(tokenizer, tmp_path):
    curves = {}
    for packing in (True, False):
        changes = {"packing": packing, "batch_size": 3, "epochs": 2, "micro_batch_tokens": 40, "learning_rate": 1e-3}
        history = trainer(tokenizer, tmp_path / str(packing), **changes).run()
        curves[packing] = [entry.get("train/loss", 0.0) for entry in history] + [history[-1]["validation/nll"]]
    assert curves[True] == pytest.approx(curves[False], rel=1e-4)


def test_activations_are_computed_anew_only_where_asked_for(tokenizer, tmp_path):
    calls = []
    for asked in (False, True):
        made = trainer(tokenizer, tmp_path, gradient_checkpointing=asked)
        count = [0]
        made.model.model.layers[0].mlp.register_forward_pre_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        step_of(made)
        calls.append(count[0])
    assert calls == [1, 2]


@pytest.mark.parametrize("lora", [False, True])
def test_a_killed_run_with_everything_on_ends_bit_for_bit_as_an_unbroken_one(tokenizer, tmp_path, monkeypatch, lora):
    changes = EVERYTHING | {"batch_size": 3, "epochs": 2, "micro_batch_tokens": 40, "checkpoint_every": 2}

    def run(folder):
        made = trainer(tokenizer, folder, lora=lora, **changes)
        return made.run(), made.model.state_dict()

    expected, weights = run(tmp_path / "unbroken")
    assert all(entry["train/kl"] > 0 for entry in expected[2:])
    real = Trainer._step

    def killed(self, step, rows):
        if step == 3:
            raise KeyboardInterrupt
        return real(self, step, rows)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(Trainer, "_step", real)
    history, resumed = run(tmp_path / "killed")
    assert history == expected
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())


def test_a_step_without_any_label_stops_by_name(tokenizer, tmp_path):
    with pytest.raises(InputError, match=r"step 1: none of its rows has a token with loss; the first is task0"):
        trainer(tokenizer, tmp_path, rows_of([4, 6], weight=0.0)).run()


def test_a_part_of_a_step_may_be_without_labels(tokenizer, tmp_path):
    rows = [*ROWS[:3], *rows_of([40], weight=0.0)]  # the row without labels is a part of its own
    sums, gradient = step_of(trainer(tokenizer, tmp_path, rows, micro_batch_tokens=40, packing=True))
    truth, its_gradient = step_of(trainer(tokenizer, tmp_path, ROWS[:3]))
    assert sums.tolist() == pytest.approx(truth.tolist(), rel=1e-5)
    assert (gradient - its_gradient).norm() <= 1e-5 * its_gradient.norm()


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_state_before(tokenizer, tmp_path):
    made = trainer(tokenizer, tmp_path, **EVERYTHING)
    with torch.no_grad():
        made.model.lm_head.weight[5] = float("nan")
    with pytest.raises(InputError, match=rf"step 1 of 1: loss nan, .*\n.*\n.*{tmp_path}"):
        made.run()
    assert (tmp_path / "state.pt").exists()
