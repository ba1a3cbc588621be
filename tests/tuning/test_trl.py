"""The masks `it` and `all` beside TRL's completion-only and full loss on the same texts; skipped where TRL is not installed."""

from __future__ import annotations

import pytest
from datasets import Dataset
from finetuning import PARAMS
from makers import make_example, make_task

from instune.prompts import Prompt, load_template
from instune.scratch_model import new_model
from instune.tuning.labels import loss_weights
from instune.tuning.packing import collate_packed
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import Counts, RowBuilder
from instune.tuning.weighted_loss import TrainingLoss

trl = pytest.importorskip("trl")
TASK = make_task(0)
EXAMPLES = [make_example(TASK, number, output=output) for number, output in enumerate(["red", "dark green and blue", "a"])]


def our_loss(tokenizer, mask: str) -> tuple[float, list[list[int]]]:
    """Loss of one step on the three rows, packed, and their ids."""
    prompt = Prompt(**PARAMS["prompt"] | {"template": "plain", "wording": "definition"})
    weights = {"weights": loss_weights(mask), "normalize_by": "weighted_tokens", "seed": 0}
    builder = RowBuilder({"task0": TASK}, tokenizer, load_template("plain", tokenizer), prompt, **weights)
    rows = [builder.build(example, Counts()) for example in EXAMPLES]
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    attend_by_row(model)
    loss = TrainingLoss(model)(collate_packed(rows))[0].item() / sum(row.share for row in rows)
    return loss, [row.input_ids for row in rows]


def trl_loss(tokenizer, rows: list[dict[str, str]], folder, **settings) -> tuple[float, list[list[int]]]:
    """The loss that SFTTrainer computes on one batch of all rows, and their ids as it made them."""
    config = trl.SFTConfig(
        str(folder), per_device_train_batch_size=len(rows), use_cpu=True, bf16=False, report_to="none", **settings
    )
    model = new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0)
    trainer = trl.SFTTrainer(model, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    return trainer.compute_loss(model, batch).item(), trainer.train_dataset["input_ids"]


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("mask", ["it", "all"])
def test_our_loss_is_trls(tokenizer, tmp_path, mask, packing):
    prompts = [f"{TASK.definition}\n\n{example.input}\n\nOutput:\n" for example in EXAMPLES]
    pairs = zip(prompts, EXAMPLES, strict=True)
    if mask == "it":
        rows = [{"prompt": prompt, "completion": example.references[0]} for prompt, example in pairs]
    else:
        rows = [{"text": prompt + example.references[0]} for prompt, example in pairs]  # it adds the terminator
    ours, ids = our_loss(tokenizer, mask)
    theirs, its_ids = trl_loss(tokenizer, rows, tmp_path, packing=packing)
    assert sorted(token for row in its_ids for token in row) == sorted(token for row in ids for token in row)
    assert ours == pytest.approx(theirs, rel=1e-6)
