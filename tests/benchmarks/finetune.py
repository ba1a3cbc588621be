"""Fine-tuning steps beside TRL's SFTTrainer with packing: time per token, peak memory, and the loss of every step.

Writes reports/benchmarks/finetune.json. The same model, rows, packs of tokens, order, optimizer, rate and precision; loss on the
outputs alone, and on everything. Each side runs in processes of its own, in turn, and the shortest run counts: processor time of
one thread on a CPU, from the end of the first step, which warms up, to the end of the last. Peak memory is above that of the
imports. The curves have to agree. Rows: AlpaGasus (Dolly 3k) from the shared data where it is there, else the pool's examples.

    pip install -r requirements-bench.txt
    python -m tests.benchmarks.finetune [--model data/models/base]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from instune.models import autocast_dtype, convert_packaged, load_model, pick_device
from instune.results import write_json
from instune.tuning.labels import IGNORE_INDEX
from instune.tuning.rows import TrainingRow

PUBLISHED = Path("../shared/data/instruction_chat/alpagasus_dolly_3k_messages.jsonl.gz")
OUT = Path("reports/benchmarks/finetune.json")
RATE, BETAS, EPSILON = 1e-4, (0.9, 0.999), 1e-8
MASKS = ("it", "all")


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
    if not Path("data/pool/examples.parquet").exists():
        sys.exit("error: no rows. Run `make repro` first: the pool's examples are taken.")
    from instune.records import read_examples

    return [(example.input, example.references[0]) for example in read_examples(Path("data/pool/examples.parquet"))]


def make_packs(folder: Path, mask: str, tokens: int, steps: int) -> list[list[dict[str, Any]]]:
    """Rows of each step, of at most `tokens` together and taken as they come: token ids and labels."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    packs: list[list[dict[str, Any]]] = [[]]
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


def train_ours(folder: Path, packs: list[list[dict[str, Any]]], precision: str) -> tuple[list[float], list[float]]:
    """Loss of every step and the clock at its end, by this repository's trainer."""
    from accelerate import Accelerator

    from instune.tuning.optimizers import AdamW
    from instune.tuning.packing import collate_packed
    from instune.tuning.row_attention import attend_by_row
    from instune.tuning.train import Settings, Trainer

    model = load_model(folder)
    attend_by_row(model)
    settings = Settings(
        optimizer=AdamW(name="adamw", beta1=BETAS[0], beta2=BETAS[1], epsilon=EPSILON),
        learning_rate=RATE,
        schedule="constant",
        warmup_share=0.0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        epochs=1,
        batch_size=1,
        micro_batch_tokens=sum(len(row["input_ids"]) for row in max(packs, key=len)) * 2,
        validate_every=1,
        checkpoint_every=1,
        precision=precision,
        packing=True,
        gradient_checkpointing=False,
        neftune_alpha=0.0,
        kl_weight=0.0,
        seed=0,
    )
    groups = [
        [
            TrainingRow(
                row["input_ids"],
                [IGNORE_INDEX, *row["labels"][1:]],
                [0.0, *(float(label != IGNORE_INDEX) for label in row["labels"][1:])],
                float(sum(label != IGNORE_INDEX for label in row["labels"][1:])),
                "task",
            )
            for row in pack
        ]
        for pack in packs
    ]
    keywords = {"accelerator": Accelerator(cpu=pick_device().type == "cpu"), "validation": ()}
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for group in groups for row in group]
        keywords |= {"folder": Path(scratch), "log": lambda entry: None}
        trainer = Trainer(model, rows, collate_packed, settings=settings, **keywords)
        model.train()
        losses, ends = [], []
        for step, group in enumerate(groups):
            losses.append(trainer._step(step, group)["train/loss"])
            ends.append(clock())
    return losses, ends


def train_trl(folder: Path, packs: list[list[dict[str, Any]]], precision: str) -> tuple[list[float], list[float]]:
    """The same by TRL: its collator lays out the packs, its trainer and its chunked loss do the rest."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    model, ends = load_model(folder), []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **settings: Any) -> None:
            ends.append(clock())

    names = ("input_ids", "labels")
    rows = [{name: [token for row in pack for token in row[name]] for name in names} for pack in packs]
    lengths = [{"seq_lengths": [len(row["input_ids"]) for row in pack]} for pack in packs]
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
        data = Dataset.from_list([row | length for row, length in zip(rows, lengths, strict=True)])
        tokenizer = AutoTokenizer.from_pretrained(folder)
        trainer = SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer, callbacks=[Clock()])
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], ends


SIDES = {"ours": train_ours, "trl": train_trl}


def run_side(name: str, folder: Path, precision: str) -> None:
    """What a process of its own does: reads the packs from standard input, prints losses, seconds and memory."""
    if name == "trl":
        import trl.trainer.sft_trainer  # noqa: F401  imports are no part of the memory
    else:
        import instune.tuning.train  # noqa: F401
    packs = json.load(sys.stdin)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, ends = SIDES[name](folder, packs, precision)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    seconds = [end - start for start, end in pairwise(ends)]
    sys.stdout.write("\n" + json.dumps({"losses": losses, "seconds": seconds, "megabytes": peak}) + "\n")


def measure(folder: Path, packs: list[list[dict[str, Any]]], precision: str, repeats: int) -> dict[str, dict[str, Any]]:
    """The fastest run of each side, the sides taking turns, with the peak memory of its runs."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for side in SIDES:
            command = [sys.executable, "-m", "tests.benchmarks.finetune", "--side", side, "--model", str(folder)]
            command += ["--precision", precision]
            done = subprocess.run(command, input=json.dumps(packs), capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"error: {side} failed\n{done.stderr[-3000:]}")
            one = json.loads(done.stdout.splitlines()[-1])
            best = found.setdefault(side, one)
            if sum(one["seconds"]) < sum(best["seconds"]):
                found[side] = one | {"megabytes": min(one["megabytes"], best["megabytes"])}
    return found


def small_model(folder: Path, out: Path) -> Path:
    """A random model of 7 million parameters with the tokenizer of `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, num_key_value_heads=2, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def flops(folder: Path, packs: list[list[dict[str, Any]]]) -> float:
    """Floating-point operations that the steps after the first need: 6 per weight and token, the head at labels alone."""
    config = load_model(folder, device=torch.device("cpu"))
    head = config.get_output_embeddings().weight.numel()
    body = sum(weight.numel() for weight in config.model.layers.parameters())
    rows = [row for pack in packs[1:] for row in pack]
    labels = sum(label != IGNORE_INDEX for row in rows for label in row["labels"][1:])
    return 6.0 * (body * sum(len(row["input_ids"]) for row in rows) + head * labels)


def outcome(found: dict[str, dict[str, Any]], packs: list[list[dict[str, Any]]], folder: Path) -> dict[str, Any]:
    """Tokens per second, memory, and how far apart the curves are.

    Raises:
        AssertionError: the curves differ by more than rounding.
    """
    tokens = sum(len(row["input_ids"]) for pack in packs[1:] for row in pack)
    pairs = list(zip(found["ours"]["losses"], found["trl"]["losses"], strict=True))
    gap = max(abs(ours - theirs) / theirs for ours, theirs in pairs)
    assert gap < 5e-3, pairs
    table = {
        side: {
            "tokens_per_second": round(tokens / sum(one["seconds"]), 1),
            "gigaflops": round(flops(folder, packs) / sum(one["seconds"]) / 1e9, 1),
            "megabytes": round(one["megabytes"]),
            "losses": [round(loss, 4) for loss in one["losses"]],
        }
        for side, one in found.items()
    }
    ours, theirs = table["ours"], table["trl"]
    return table | {
        "speed": round(ours["tokens_per_second"] / theirs["tokens_per_second"], 3),
        "memory": round(ours["megabytes"] / theirs["megabytes"], 3),
        "largest_gap": float(f"{gap:.1e}"),
    }


def main() -> None:
    """Measure both masks and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a causal model; default: data/models/base, or the packaged model")
    parser.add_argument("--small", action="store_true", help="a random model of 7 million parameters instead")
    parser.add_argument("--side", choices=SIDES, help="run this side alone, packs on standard input")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of a step")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=MASKS)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default=str(autocast_dtype(pick_device())).split(".")[1])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.side:
        return run_side(options.side, options.model, options.precision)
    if find_spec("trl") is None:
        sys.exit("error: trl not installed. Run `pip install -r requirements-bench.txt`.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or Path("data/models/base")
        if not folder.exists():
            folder = Path(scratch, "base")
            convert_packaged("smollm2-135m-instruct", folder)
        folder = small_model(folder, Path(scratch, "small")) if options.small else folder
        table = {}
        for mask in options.masks:
            packs = make_packs(folder, mask, options.tokens, options.steps)
            table[mask] = outcome(measure(folder, packs, options.precision, options.repeats), packs, folder)
        report(table, options)


def report(table: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the JSON file and print it."""
    first = table[options.masks[0]]
    size = "7 million random parameters" if options.small else "SmolLM2-135M-Instruct"
    result = {
        "name": "finetune",
        "unit": "microseconds of processor time per token",
        "ours": round(1e6 / first["ours"]["tokens_per_second"], 1),
        "peers": {"trl": round(1e6 / first["trl"]["tokens_per_second"], 1)},
        "ratio": round(1 / first["speed"], 3),
        "checked": f"loss of every step within {max(one['largest_gap'] for one in table.values())} of TRL's",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}",
        "repeats": options.repeats,
        "size": f"{options.model.name if options.model else size}, {options.steps} steps of {options.tokens} tokens, "
        f"{options.precision}",
        "cases": table,
    }
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
