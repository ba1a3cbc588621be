"""The exported file holds the rows that finetune trains on, and TRL computes the same loss from it."""

from __future__ import annotations

from importlib.util import find_spec

import pyarrow.parquet as pq
import pytest
import torch
from finetuning import set_params, workspace_of
from makers import make_example, make_task

from instune import models
from instune.errors import InputError
from instune.prompts import SEGMENTS
from instune.records import write_examples, write_tasks
from instune.results import read_json, write_json
from instune.tuning.batches import collate
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow
from instune.tuning.weighted_loss import WeightedLoss
from stages import finetune
from tools import export

needs_trl = pytest.mark.skipif(find_spec("trl") is None, reason="trl is of requirements-bench.txt")


class Reached(Exception):
    """Raised where training would begin."""


@pytest.fixture
def files(tmp_path, monkeypatch, tiny_pool, model_folder):
    """The tool's keywords, and those of the stage, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    stage = workspace_of(tiny_pool, model_folder)
    return {name: stage[name] for name in ("selection", "instructions", "tasks", "examples", "model")}, stage


def exported(files, folder) -> list[dict]:
    """The file's records."""
    export.main(**files[0], out=folder / "out/rows.parquet")
    return pq.read_table(folder / "out/rows.parquet").to_pylist()


def as_rows(records: list[dict]) -> list[TrainingRow]:
    """Records as our trainer takes rows."""
    return [
        TrainingRow(one["input_ids"], one["labels"], one["loss_weights"], one["loss_share"], one["task_id"]) for one in records
    ]


def our_loss(folder, rows: list[TrainingRow]) -> float:
    """Loss of one step over all rows, as `Trainer` has it."""
    model = models.load_model(folder, device=torch.device("cpu"))
    with torch.no_grad():
        return WeightedLoss(model)(collate(rows, pad_id=0)).item() / sum(row.share for row in rows)


def test_the_file_holds_the_rows_of_the_stage_in_their_order(files, tmp_path, monkeypatch, capsys):
    set_params(loss_mask={"template": 0.0, "system": 0.0, "instruction": 0.25, "examples": 0.0, "input": 0.5, "output": 1.0})
    records = exported(files, tmp_path)
    trained = []

    def stand_in(model, rows, *_, **__):
        trained.extend(rows)
        raise Reached

    monkeypatch.setattr(finetune, "Trainer", stand_in)
    with pytest.raises(Reached):
        finetune.main(**files[1])
    assert [(one["input_ids"], one["labels"], one["loss_weights"], one["loss_share"]) for one in records] == [
        (row.input_ids, row.labels, row.loss_weights, row.share) for row in trained
    ]
    assert [(one["task_id"], one["example_id"]) for one in records] == [(row.task_id, row.example_id) for row in trained]
    assert "not all equal" in capsys.readouterr().out


def test_labels_weights_and_segments_of_a_row_agree(files, tmp_path):
    weights = {"template": 0.0, "system": 0.0, "instruction": 0.25, "examples": 0.0, "input": 0.0, "output": 1.0}
    set_params(loss_mask=weights)
    for one in exported(files, tmp_path):
        count = len(one["input_ids"])
        assert one["attention_mask"] == [1] * count
        assert [len(one[name]) for name in ("labels", "loss_weights", "segments")] == [count] * 3
        assert one["loss_weights"] == [weights[segment] for segment in one["segments"]]
        wanted = zip(one["input_ids"], one["loss_weights"], strict=True)
        assert one["labels"] == [token if weight else IGNORE_INDEX for token, weight in wanted]
        assert set(one["segments"]) <= set(SEGMENTS)


def test_the_share_makes_the_loss_of_every_normalization(files, tmp_path):
    """`examples`: the mean over rows of each row's mean, by a loop over single rows."""
    set_params(loss_mask="im", normalize_by="weights")
    rows = as_rows(exported(files, tmp_path))[:5]
    means = [our_loss(files[0]["model"], [row]) for row in rows]
    set_params(loss_mask="im", normalize_by="examples")
    assert our_loss(files[0]["model"], as_rows(exported(files, tmp_path))[:5]) == pytest.approx(sum(means) / 5, rel=1e-6)


def test_a_soft_instruction_is_refused():
    with pytest.raises(InputError, match=r"row of a has 2 places for learned embeddings.*\n.*optimize\.method"):
        export.record(TrainingRow([0, 0, 5], [-100, -100, 5], [0.0, 0.0, 1.0], 1.0, "t", soft=(0, 2), example_id="a"))


@needs_trl
@pytest.mark.parametrize("mask", ["it", "im", "all"])
def test_trl_has_the_same_first_losses_from_the_file(files, tmp_path, mask):
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    task = make_task(0)
    texts = [f"Apple {number} is red." * (1 + number % 3) for number in range(8)]
    write_tasks(files[0]["tasks"], [task])
    write_examples(files[0]["examples"], [make_example(task, number, text=text) for number, text in enumerate(texts)])
    write_json(files[0]["selection"], read_json(files[0]["selection"]) | {"selected": ["task0"]})
    set_params(loss_mask=mask, normalize_by="weighted_tokens", max_tokens=None, validation_share=0.0)
    ours = our_loss(files[0]["model"], as_rows(exported(files, tmp_path)))
    seen = []

    class Watched(SFTTrainer):
        def compute_loss(self, *arguments, **keywords):
            loss = super().compute_loss(*arguments, **keywords)
            seen.append((loss[0] if isinstance(loss, tuple) else loss).item())
            return loss

    batch = {"per_device_train_batch_size": 8, "max_steps": 3, "max_length": None, "learning_rate": 1e-2}
    plain = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": [], "save_strategy": "no"}
    data = load_dataset(
        "parquet", data_files=str(tmp_path / "out/rows.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    model = models.load_model(files[0]["model"], device=torch.device("cpu"))
    trainer = Watched(
        model,
        SFTConfig(output_dir=str(tmp_path / "trl"), **batch, **plain),
        train_dataset=data,
        processing_class=models.load_tokenizer(files[0]["model"]),
    )
    trainer.train()
    assert len(seen) == 3
    assert seen[0] == pytest.approx(ours, rel=1e-6)
    assert seen[2] < seen[0]
