"""The loop: epochs, one step against plain PyTorch, validation whatever the batch, adapters, checkpoint keys."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from trainer_settings import SETTINGS

from instune.errors import InputError
from instune.prompts import stable_integer
from instune.scratch_model import new_model
from instune.tuning import checkpoint
from instune.tuning.adapters import add_lora, merge_lora
from instune.tuning.batches import collate, micro_batches
from instune.tuning.checkpoint import run_key
from instune.tuning.optimizers import Adafactor
from instune.tuning.rows import TrainingRow
from instune.tuning.train import Trainer, mean_nll, step_rows
from instune.tuning.weighted_loss import TrainingLoss

GATHER = partial(collate, pad_id=0)


def rows_of(lengths) -> list[TrainingRow]:
    """Rows on whose every token but the first is loss."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for length in lengths:
        ids = torch.randint(300, (length,), generator=generator).tolist()
        rows.append(TrainingRow(ids, [-100, *ids[1:]], [0.0] + [1.0] * (length - 1), length - 1.0, "task0"))
    return rows


def train(model, rows, folder, **changes):
    keywords = {"settings": replace(SETTINGS, **changes), "validation": (), "folder": folder, "log": lambda entry: None}
    return Trainer(model, rows, GATHER, accelerator=Accelerator(cpu=True), **keywords).run()


def test_two_steps_equal_plain_pytorch(tiny_model, tokenizer, tmp_path):
    rows = rows_of([5, 9, 3, 7, 6, 4, 8, 2])
    history = train(tiny_model, rows, tmp_path)
    # a second copy of the same weights
    plain = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="eager").train()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.0)
    losses, norms = [], []
    for step, rate in enumerate([0.01, 0.005]):
        batch = rows[4 * step : 4 * step + 4]
        loss = sum(
            torch.nn.functional.cross_entropy(
                plain(torch.tensor([row.input_ids])).logits[0, :-1], torch.tensor(row.input_ids[1:]), reduction="sum"
            )
            for row in batch
        ) / sum(len(row.input_ids) - 1 for row in batch)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    assert [entry["train/loss"] for entry in history[1:]] == pytest.approx(losses, rel=1e-5)
    assert [entry["train/gradient_norm"] for entry in history[1:]] == pytest.approx(norms, rel=1e-4)
    assert [entry["train/learning_rate"] for entry in history[1:]] == [0.01, 0.005]
    for ours, theirs in zip(tiny_model.parameters(), plain.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 1e-4  # Adam divides by what may be near 0


def test_epochs_keep_the_given_order_first_and_shuffle_by_seed_and_epoch_then():
    rows = rows_of(range(2, 9))
    expected = [*rows]  # brute force: the whole sequence, then cut at 3 rows and at every epoch's end
    for epoch in (1, 2):
        order = list(rows)
        random.Random(stable_integer(5, "epoch", epoch)).shuffle(order)
        expected += order
    steps = list(step_rows(rows, batch_size=3, epochs=3, seed=5))
    assert [len(step) for step in steps] == [3, 3, 1] * 3
    assert [id(row) for step in steps for row in step] == [id(row) for row in expected]
    assert expected[7:14] != expected[14:]
    assert list(step_rows(rows, batch_size=3, epochs=1, seed=5)) == [rows[:3], rows[3:6], rows[6:]]


def test_the_loop_takes_every_step_of_every_epoch_with_the_schedule_over_all(tiny_model, tmp_path, monkeypatch):
    rows, seen = rows_of([5, 9, 3, 7, 6]), []
    real = Trainer._step

    def spy(self, step, batch):
        seen.append([id(row) for row in batch])
        return real(self, step, batch)

    monkeypatch.setattr(Trainer, "_step", spy)
    history = train(tiny_model, rows, tmp_path, epochs=3)
    assert seen == [[id(row) for row in batch] for batch in step_rows(rows, batch_size=4, epochs=3, seed=0)]
    assert [entry["train/learning_rate"] for entry in history[1:]] == pytest.approx([0.01 * (6 - n) / 6 for n in range(6)])


@pytest.mark.parametrize("optimizer", [SETTINGS.optimizer, Adafactor(name="adafactor")])
def test_a_run_killed_in_the_second_epoch_ends_as_an_unbroken_one(tokenizer, tmp_path, monkeypatch, optimizer):
    def run(folder):
        model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="eager")
        changes = {"optimizer": optimizer, "epochs": 3, "checkpoint_every": 2}
        return train(model, rows_of([5, 9, 3, 7, 6]), folder, **changes), model.state_dict()

    expected, weights = run(tmp_path / "unbroken")
    real, taken = Trainer._step, []

    def killed(self, step, rows):
        if step == 3:
            raise KeyboardInterrupt
        return real(self, step, rows)

    def counted(self, step, rows):
        taken.append(step)
        return real(self, step, rows)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(Trainer, "_step", counted)
    history, resumed = run(tmp_path / "killed")
    assert taken == [2, 3, 4, 5]
    assert history == expected
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("limit", [1, 16, 1000])
def test_mean_nll_does_not_depend_on_the_grouping(tiny_model, limit):
    rows = rows_of([5, 9, 3])
    value = mean_nll(TrainingLoss(tiny_model), rows, GATHER, settings=replace(SETTINGS, micro_batch_tokens=limit))
    total = sum(tiny_model(torch.tensor([row.input_ids]), labels=torch.tensor([row.input_ids])).loss * row.share for row in rows)
    assert value == pytest.approx(total.item() / 14, rel=1e-5)


def test_micro_batches_hold_every_row_once_within_the_limit():
    rows = rows_of([5, 9, 3, 40, 7, 2])
    groups = micro_batches(rows, 16)
    assert [[len(row.input_ids) for row in group] for group in groups] == [[2, 3, 5], [7], [9], [40]]
    assert {id(row) for group in groups for row in group} == {id(row) for row in rows}


def test_dropout_draws_from_the_seed_and_leaves_the_global_generator(tiny_model, tmp_path):
    tiny_model.config.attention_dropout = 0.5
    for module in tiny_model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    start = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    losses = {}
    torch.manual_seed(123)
    state = torch.get_rng_state()
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        tiny_model.load_state_dict(start)
        losses[name] = train(tiny_model, rows_of([5, 9, 3, 7]), tmp_path / name, seed=seed)[1]["train/loss"]
    assert losses["first"] == losses["again"]
    assert losses["first"] != losses["other"]
    assert torch.equal(torch.get_rng_state(), state)


def test_merged_adapters_compute_what_the_adapted_model_did(tiny_model, tmp_path):
    frozen = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    adapted = add_lora(tiny_model, rank=2, alpha=4.0, dropout=0.0, seed=0)
    train(adapted, rows_of([5, 9, 3, 7]), tmp_path, learning_rate=0.1)
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        expected = adapted(ids).logits
        merged = merge_lora(adapted)
        assert torch.allclose(merged(ids).logits, expected, atol=1e-4)
    assert set(merged.state_dict()) == set(frozen)
    changed = {name.split(".")[-2] for name, value in merged.state_dict().items() if not torch.equal(value, frozen[name])}
    assert changed <= {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert changed


def test_run_key_changes_with_parameters_and_with_any_file(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a = 1\n")
    (tmp_path / "pool").write_text("x")
    files = [tmp_path / "code", tmp_path / "pool"]
    keys = {run_key({"rate": 1.0}, files), run_key({"rate": 2.0}, files)}
    (tmp_path / "code" / "a.py").write_text("a = 2\n")
    keys.add(run_key({"rate": 1.0}, files))
    (tmp_path / "pool").write_text("y")
    keys.add(run_key({"rate": 1.0}, files))
    assert len(keys) == 4
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "a.pyc").write_text("")
    assert run_key({"rate": 1.0}, files) in keys


def test_a_broken_checkpoint_is_told_with_the_folder_to_delete(tmp_path, tiny_model):
    optimizer = torch.optim.SGD(tiny_model.parameters(), lr=0.1)
    checkpoint.save(tmp_path, tiny_model, optimizer, step=1, history=[])
    path = tmp_path / checkpoint.FILE
    written = path.read_bytes()
    weights = next(iter(tiny_model.parameters())).detach().numpy()[1].tobytes()
    assert weights in written
    changed = [written.replace(b"history", b"histery"), written.replace(weights, bytes(len(weights)))]
    for content in (b"", written[:-300], *changed):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"broken checkpoint[\s\S]*Delete the folder"):
            checkpoint.load(tmp_path, tiny_model, optimizer)
