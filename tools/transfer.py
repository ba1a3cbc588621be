"""Measure which family of tasks teaches which target on the playground: the truth that selectors are judged by.

Not a stage: `make transfer SEEDS="0 1 2 3 4"` runs it. For every seed of the playground the base model is fine-tuned on each
family of source tasks alone, for the same few tokens by the recipe of params.yaml, and answers every target task. A killed run
goes on with the next family. Minutes per family.

Reads:  params.yaml (recipe, prompt, playground); data/models/base/
Writes: <out>/seed-<n>.json: {"settings": {...}, "tasks": {task: family}, "base": row, "families": {family: row}}; settings are
        the playground's seed, the recipe and the model's hash, a row is {target: {"nll": nats per token of the references,
        "exact_match": share}}
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from instune import config
from instune.evaluation.metrics import exact_match
from instune.evaluation.predictions import read_predictions
from instune.models import settings_files, weights_hash
from instune.results import read_json, write_json
from instune.tuning.checkpoint import run_key
from tools import bed

ROOT = Path(__file__).parents[1]
Row = dict[str, dict[str, float]]


def stage(work: Path, name: str, *options: str) -> None:
    """Run a stage in the working folder, in a process of its own; what it prints is shown only when it fails."""
    command = [sys.executable, "-m", f"stages.{name}", *options]
    place = {"cwd": work, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    done = subprocess.run(command, check=False, capture_output=True, text=True, **place)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def answers(work: Path, model: str) -> Row:
    """NLL and exact match of every target task."""
    stage(work, "evaluate", "--model", model, *bed.POOL, "--out", "predictions")
    groups: dict[str, list] = {}
    for row in read_predictions(work / "predictions"):
        groups.setdefault(row.task_id, []).append(row)
    return {
        task: {
            "nll": sum(row.nll for row in rows) / sum(row.nll_tokens for row in rows),
            "exact_match": sum(exact_match(row.output, row.references) for row in rows) / len(rows),
        }
        for task, rows in sorted(groups.items())
    }


def after_training(work: Path, task_ids: list[str]) -> Row:
    """The row of a model trained on these tasks."""
    write_json(work / "selection.json", {"selected": task_ids})
    files = ["--instructions", "instructions", "--out", "tuned", "--report", "finetune.json", "--curves", "curves"]
    stage(work, "finetune", "--selection", "selection.json", "--model", str(bed.MODEL), *bed.POOL, *files)
    return answers(work, "tuned")


def prepare(work: Path, model: Path) -> dict[str, str]:
    """Make the bed and refer to human instructions; returns the family of every source task."""
    bed.make(work, model)
    tasks = {task.task_id: task.category for task in bed.tasks(work).values() if task.split == "train"}
    write_json(work / "selection.json", {"selected": sorted(tasks)})
    files = ["--out", "instructions", "--report", "optimize.json", "--curves", "curves-optimize"]
    stage(work, "optimize_instructions", "--selection", "selection.json", "--model", str(bed.MODEL), *bed.POOL, *files)
    return tasks


def measure(seed: int, model: Path, out: Path, *, tokens: int, examples: int) -> None:
    """One seed's matrix, family by family."""
    params = bed.changed(
        config.read_params(ROOT / "params.yaml"),
        {
            "playground": {"seed": seed},
            "targets": {"examples_per_task": examples},
            "finetune": {"max_tokens": tokens, "validation_share": 0.0},
        },
    )
    settings = {name: params[name] for name in ("prompt", "finetune", "evaluate")}
    settings |= {"seed": seed, "training_seed": params["seed"], "examples_per_task": examples, "base_model": weights_hash(model)}
    inputs = [ROOT / "instune", ROOT / "stages", *settings_files(model)]
    work = ROOT / ".scratch/transfer" / f"seed-{seed}-{run_key(settings, inputs)}"
    bed.write_params(work, params)
    tasks = prepare(work, model)
    path = work / "rows.json"
    rows = read_json(path) if path.exists() else {}
    if "base" not in rows:
        rows["base"] = answers(work, str(bed.MODEL))
        write_json(path, rows)
    for family in tqdm(sorted(set(tasks.values())), desc=f"transfer, seed {seed}", unit=" families"):
        if family not in rows:
            rows[family] = after_training(work, sorted(task for task, own in tasks.items() if own == family))
            write_json(path, rows)
    base = rows.pop("base")
    write_json(out / f"seed-{seed}.json", {"settings": settings, "tasks": tasks, "base": base, "families": rows})
    shutil.rmtree(work)


def main() -> None:
    """Measure the seeds that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", type=Path, default=ROOT / bed.MODEL)
    parser.add_argument("--out", type=Path, default=ROOT / "reports/selection/transfer")
    parser.add_argument("--tokens", type=int, default=12_000, help="tokens of fine-tuning per family")
    parser.add_argument("--examples", type=int, default=10, help="examples of each target task")
    options = parser.parse_args()
    for seed in options.seeds:
        if not (options.out / f"seed-{seed}.json").exists():
            measure(seed, options.model, options.out, tokens=options.tokens, examples=options.examples)


if __name__ == "__main__":
    main()
