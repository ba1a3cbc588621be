"""Generation beside a bare loop of batched `generate` calls over prompts sorted by length, and the scoring of many predictions.

Writes reports/benchmarks/evaluate.json. Both sides have the same loaded model, prompts, limit of new tokens and batch size, take
turns, and start from texts; ours goes through lm-evaluation-harness' interface and writes every answer to disk. The shortest run
counts: processor time of one thread on a CPU. Every text, and the number of its tokens, has to be the same. Prompts:
AlpaGasus (Dolly 3k) from the shared data where it is there, else the pool's examples, in the tokenizer's chat template.

Scoring runs the score stage on generated predictions in a process of its own: 119 tasks, two models, three floors.

    python -m tests.benchmarks.evaluate [--model data/models/base] [--small]
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
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from instune.results import write_json
from tests.scoring_files import write_questions

OUT = Path("reports/benchmarks/evaluate.json")


def measure_scoring(predictions: int) -> dict[str, Any]:
    """Seconds and peak memory of the score stage; measured before torch is imported, as a child starts with its parent's peak."""
    files = {"tasks": "tasks.parquet", "examples": "examples.parquet", "base": "base", "tuned": "tuned"}
    files |= {"metrics": "out/metrics.json", "scores": "out/scores.json", "table": "out/scores.csv"}
    command = [sys.executable, "-m", "stages.score", *(part for name, path in files.items() for part in (f"--{name}", path))]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "params.yaml").write_text("score: {confidence: 0.95}\n")
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(write_questions, Path(folder), predictions // 2).result()
        before, start = resource.getrusage(resource.RUSAGE_SELF), perf_counter()
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - start
        assert status == 0, "the score stage failed"
        examples = json.loads(Path(folder, "out/scores.json").read_text())["examples"]
    assert 2 * examples == predictions
    assert usage.ru_maxrss > before.ru_maxrss, "the peak is that of this process"
    return {
        "predictions": predictions,
        "seconds": round(seconds, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_megabytes": usage.ru_maxrss // 1024,
    }


def main() -> None:
    """Measure scoring, then generation, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a causal model; default: data/models/base, or the packaged model")
    parser.add_argument("--small", action="store_true", help="a random model of 7 million parameters instead")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32, help="limit of an answer")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--predictions", type=int, default=100_000, help="to score, of both models together")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 where the device computes it")
    options = parser.parse_args()
    scoring = measure_scoring(options.predictions)

    from tests.generation_sides import measure_generation  # imports torch

    generation = measure_generation(options)
    result = {
        "name": "evaluate",
        "unit": "milliseconds per generated token",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}",
        "repeats": options.repeats,
        "scoring": scoring,
    } | generation
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
