"""Fine-tuning steps on the same packs of rows by this repository's trainer and by TRL's, for the benchmark of both."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback

from instune.models import load_model, pick_device
from instune.records import read_examples
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.optimizers import AdamW
from instune.tuning.packing import collate_packed
from instune.tuning.row_attention import attend_by_row
from instune.tuning.rows import TrainingRow
from instune.tuning.train import Settings, Trainer

PUBLISHED = Path("../shared/data/instruction_chat/alpagasus_dolly_3k_messages.jsonl.gz")
POOL = Path("data/pool/examples.parquet")
RATE, BETAS, EPSILON = 1e-4, (0.9, 0.999), 1e-8
Row = dict[str, list[int]]  # input_ids, labels


def clock() -> float:
    """Seconds: of the processor on a CPU, of the wall where a GPU has to finish first."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return perf_counter()
    return process_time()


def conversations() -> list[tuple[str, str]]:
    """Prompt and answer of every single-turn row."""
    if PUBLISHED.exists():
        with gzip.open(PUBLISHED, "rt") as lines:
            rows = [json.loads(line)["messages"] for line in lines]
        return [(row[-2]["content"], row[-1]["content"]) for row in rows]
    if not POOL.exists():
        sys.exit("error: no rows. Run `make repro` first: the pool's examples are taken.")
    return [(example.input, example.references[0]) for example in read_examples(POOL)]


def make_packs(folder: Path, mask: str, tokens: int, steps: int) -> list[list[Row]]:
    """Rows of each step, of at most `tokens` together and taken as they come: token ids and labels."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    packs: list[list[Row]] = [[]]
    for prompt, answer in conversations():
        turns = [{"role": "user", "content": prompt}]
        head = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        ids = head + tokenizer(answer + tokenizer.eos_token, add_special_tokens=False).input_ids
        labels = ids if mask == "all" else [IGNORE_INDEX] * len(head) + ids[len(head) :]
        if len(ids) > tokens:
            continue
        if sum(len(row["input_ids"]) for row in packs[-1]) + len(ids) > tokens:
            if len(packs) == steps:
                return packs
            packs.append([])
        packs[-1].append({"input_ids": ids, "labels": labels})
    raise ValueError(f"{steps} packs of {tokens} tokens are more than there are rows for")


def small_model(folder: Path, out: Path) -> Path:
    """A random model of 7 million parameters with the tokenizer of `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, num_key_value_heads=2, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def rows_of(pack: list[Row]) -> list[TrainingRow]:
    """Rows with weight 1 at every label but the first token's, which nothing predicts."""
    rows = []
    for row in pack:
        labels = [IGNORE_INDEX, *row["labels"][1:]]
        weights = [float(label != IGNORE_INDEX) for label in labels]
        rows.append(TrainingRow(row["input_ids"], labels, weights, sum(weights), "task"))
    return rows


def settings_for(tokens: int, precision: str) -> Settings:
    """What TRL is given as well, one pack of `tokens` a pass."""
    return Settings(
        optimizer=AdamW(name="adamw", beta1=BETAS[0], beta2=BETAS[1], epsilon=EPSILON),
        learning_rate=RATE,
        schedule="constant",
        warmup_share=0.0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        epochs=1,
        batch_size=1,
        micro_batch_tokens=tokens,
        validate_every=1,
        checkpoint_every=1,
        precision=precision,
        packing=True,
        gradient_checkpointing=False,
        neftune_alpha=0.0,
        kl_weight=0.0,
        seed=0,
    )


def train_ours(folder: Path, packs: list[list[Row]], precision: str) -> tuple[list[float], list[float]]:
    """Loss of every step and the clock at its end, by this repository's trainer."""
    model, groups = load_model(folder), [rows_of(pack) for pack in packs]
    attend_by_row(model)
    tokens = max(sum(len(row["input_ids"]) for row in pack) for pack in packs)
    keywords = {"accelerator": Accelerator(cpu=pick_device().type == "cpu"), "settings": settings_for(tokens, precision)}
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for group in groups for row in group]
        keywords |= {"validation": (), "folder": Path(scratch), "log": lambda entry: None}
        trainer = Trainer(model, rows, collate_packed, **keywords)
        model.train()
        losses, ends = [], []
        for step, group in enumerate(groups):
            losses.append(trainer._step(step, group)["train/loss"])
            ends.append(clock())
    return losses, ends


def train_trl(folder: Path, packs: list[list[Row]], precision: str) -> tuple[list[float], list[float]]:
    """The same by TRL: its collator lays out the packs, its trainer and its chunked loss do the rest."""
    from trl import SFTConfig, SFTTrainer  # the peer alone needs it

    model, ends = load_model(folder), []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **settings: Any) -> None:
            ends.append(clock())

    rows = [{name: [token for row in pack for token in row[name]] for name in ("input_ids", "labels")} for pack in packs]
    for row, pack in zip(rows, packs, strict=True):
        row["seq_lengths"] = [len(one["input_ids"]) for one in pack]
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            packing=True,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},  # the packs are given
            train_sampling_strategy="sequential",
            per_device_train_batch_size=1,
            num_train_epochs=1,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            adam_beta1=BETAS[0],
            adam_beta2=BETAS[1],
            adam_epsilon=EPSILON,
            max_grad_norm=1.0,
            gradient_checkpointing=False,
            bf16=precision == "bfloat16",
            use_cpu=pick_device().type == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        keywords = {"train_dataset": Dataset.from_list(rows), "processing_class": AutoTokenizer.from_pretrained(folder)}
        trainer = SFTTrainer(model, config, callbacks=[Clock()], **keywords)
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], ends


SIDES = {"ours": train_ours, "trl": train_trl}
