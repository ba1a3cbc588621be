"""One outer step beside one plain fine-tuning step: time and peak memory of every solver and product, ours and the peers'.

Writes reports/benchmarks/hypergradient.json; times are multiples of a plain step (AdamW, torch's fused attention) on a batch of
the same size. The cases take turns in one process and the shortest of the repeats counts: processor time of one thread on a CPU.
Each peak memory is that of a process of its own, above its imports. Peers on the same problem: betty-ml and torchopt, which need
eager attention; and double backward with eager attention, the reference implementation's way. Results are checked to be equal.
Floor by counting passes: 4.3 plain gradients for K = 1 by central differences (1 + 2 + 2 without weight gradients), 2.3 for
the identity.

    pip install -r requirements-bench.txt
    python -m tests.benchmarks.hypergradient [--model data/models/base --out reports/benchmarks/hypergradient_135m.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time

import torch
from tqdm import tqdm

from instune.bilevel.vectors import Vector, cosine, norm, plus
from instune.results import write_json
from tests.hypergradient_cases import BATCH, LENGTH, OURS, PEERS, SAME_AS, Work, cases

REPEATS = 5
OUT = Path("reports/benchmarks/hypergradient.json")


def clock() -> float:
    """Seconds: of the processor on a CPU, of the wall where a GPU has to finish first."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return perf_counter()
    return process_time()


def times(folder: Path | None, repeats: int) -> tuple[dict[str, float], dict[str, Vector]]:
    """Shortest seconds and the hypergradient of every case; the cases take turns."""
    works = {attention: Work(folder, attention) for attention in ("sdpa", "eager")}
    seconds, found = {}, {}
    for repeat in tqdm(range(repeats + 1), unit="round"):
        for name, (attention, call) in cases(folder).items():
            start = clock()
            found[name] = call(works[attention])
            took = clock() - start
            if repeat:  # the first round warms up
                seconds[name] = min(seconds.get(name, took), took)
    return seconds, found


def peak_megabytes(name: str, folder: Path | None) -> float:
    """Above its imports, of a process that loads the model and runs one case twice."""
    command = [sys.executable, "-m", "tests.benchmarks.hypergradient", "--case", name]
    done = subprocess.run(command + (["--model", str(folder)] if folder else []), check=True, capture_output=True, text=True)
    return float(done.stdout)


def run_case(name: str, folder: Path | None) -> None:
    """What `peak_megabytes` measures."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attention, call = cases(folder)[name]
    work = Work(folder, attention)
    for _ in range(2):
        call(work)
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)


def agreement(found: dict[str, Vector]) -> str:
    """Cosines of what has to be equal; central differences within 1e-3, double backward within 1e-5 of the cosine 1.

    Raises:
        AssertionError: two ways to one hypergradient that disagree.
    """
    said = []
    for exact, others in SAME_AS.items():
        for other in others:
            if exact in found and other in found:
                value = cosine(found[other], found[exact])
                gap = norm(plus(found[other], found[exact], -1.0)) / norm(found[exact])
                tolerance = 3e-2 if "central" in other or "darts" in other else 1e-3
                assert gap < tolerance, (other, exact, gap, value)
                said.append(f"{other}: {gap:.1e}")
    return "relative distance to double backward with plain attention: " + "; ".join(said)


def table_of(seconds: dict[str, float], memory: dict[str, float]) -> dict[str, dict[str, float]]:
    """Every case in itself and as a multiple of the plain step."""
    step, room = seconds["plain step"], memory["plain step"]
    return {
        name: {
            "milliseconds": round(1000 * seconds[name], 1),
            "plain_steps": round(seconds[name] / step, 2),
            "megabytes": round(memory[name]),
            "times_its_memory": round(memory[name] / room, 2),
        }
        for name in seconds
    }


def main() -> None:
    """Measure memory, then time, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a causal model; default: 5 million random parameters")
    parser.add_argument("--case", help="measure the memory of this case alone")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case:
        return run_case(options.case, options.model)
    missing = [name for name in ("betty", "torchopt") if find_spec(name) is None]
    if missing:
        sys.exit(f"error: {', '.join(missing)} not installed. Run `pip install -r requirements-bench.txt`.")
    names = tqdm(cases(options.model), desc="memory", unit="case")
    memory = {name: peak_megabytes(name, options.model) for name in names}  # first: a process starts with its parent's peak
    tqdm.write(json.dumps(memory))
    seconds, found = times(options.model, options.repeats)
    tqdm.write(json.dumps(seconds))
    table = table_of(seconds, memory)
    model = options.model.name if options.model else "5 million random parameters"
    peers = {name: table[name]["plain_steps"] for name in PEERS}
    result = {
        "name": "hypergradient",
        "unit": "plain fine-tuning steps",
        "ours": table[OURS]["plain_steps"],
        "peers": peers,
        "ratio": round(seconds[OURS] / min(seconds[name] for name in peers), 3),
        "beside_bfloat16": round(seconds[OURS] / seconds["plain step, bfloat16"], 2),  # float32 differences, bfloat16 plain steps
        "checked": agreement(found),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}",
        "repeats": options.repeats,
        "size": f"{model}, batch {BATCH} x {LENGTH}, float32",
        "cases": table,
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
