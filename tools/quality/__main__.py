"""Measure how good the choice of every selector is on the playground, beside its cost.

Not a stage: `make quality` runs it, over every seed of the playground whose transfer matrix `make transfer` has measured. A
killed run goes on with the next group of selectors; what was measured lies in .scratch/quality/ and is kept until the parameters
change; after a change of code, delete that folder. On two CPU cores about half an hour, and ten minutes per further seed.

Reads:  params.yaml; reports/selection/transfer/seed-<n>.json; data/models/base/ (hidden_states and gradient)
Writes: reports/selection/quality.json: measures of every selector with intervals, and its cost; quality.svg: regret against cost;
        the table on stdout
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from instune import config
from instune.errors import InputError
from instune.results import read_json, write_json, write_text
from tools import bed
from tools.quality.plot import scatter
from tools.quality.selectors import GROUPS, INPUTS, WITHOUT_EXAMPLES, Run, run_group
from tools.quality.summary import best_precision, score_bed, summarize
from tools.quality.table import table

ROOT = Path(__file__).parents[2]
CONFIDENCE = 0.95


def bed_params(params: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters on the bed that a transfer matrix was measured on."""
    changes = {
        "playground": {"seed": settings["seed"]},
        "targets": {"examples_per_task": settings["examples_per_task"]},
        "select": {"max_target_wordings": None, "per_category_cap": None, "examples_per_task": None},
    }
    return bed.changed(params, changes)


def read_matrices(folder: Path) -> dict[int, dict[str, Any]]:
    """Seed of the playground -> transfer matrix, ascending.

    Raises:
        InputError: there is none, or they were measured with different settings.
    """
    matrices = {}
    for path in folder.glob("seed-*.json"):
        matrix = read_json(path)
        matrices[matrix["settings"]["seed"]] = matrix
    if not matrices:
        raise InputError(f"{folder}: holds no seed-<n>.json. Run `make transfer` (hours), or take the committed ones.")
    settings = {seed: {**matrix["settings"], "seed": None} for seed, matrix in sorted(matrices.items())}
    first = min(settings)
    for seed in settings:
        if settings[seed] != settings[first]:
            raise InputError(
                f"{folder}: seed {seed} was measured with other settings than seed {first}.\n"
                "  Delete the files of one kind, and measure those seeds again by `make transfer`."
            )
    return dict(sorted(matrices.items()))


def check_bed(matrix: Mapping[str, Any], work: Path) -> dict[str, str]:
    """Family of every target.

    Raises:
        InputError: the bed is another than the one measured.
    """
    tasks = bed.tasks(work)
    sources = {task.task_id: task.category for task in tasks.values() if task.split == "train"}
    targets = {task.task_id: task.category for task in tasks.values() if task.split == "test"}
    if sources != matrix["tasks"] or set(targets) != set(matrix["base"]):
        raise InputError(
            f"transfer matrix of seed {matrix['settings']['seed']}: was measured on other tasks than the playground holds now.\n"
            "  Measure it again (delete its file, `make transfer`), or bring the former playground back."
        )
    return targets


def _digest(*values: Any) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6).hexdigest()


def measure(
    matrix: Mapping[str, Any], params: Mapping[str, Any], scratch: Path, model: Path
) -> tuple[dict[str, dict[str, Run]], dict[str, str]]:
    """Runs of every selector on one bed, selector -> seed -> run, and the family of every target.

    What looks at no example is run once for all beds with the same wordings.
    """
    params = bed_params(params, matrix["settings"])
    work = scratch / f"seed-{matrix['settings']['seed']}-{_digest(params)}"
    if not (work / bed.TASKS).exists():
        bed.write_params(work, params)
        bed.make(work, model)
    families = check_bed(matrix, work)
    wordings = {task.task_id: [task.split, task.category, task.wordings] for task in bed.tasks(work).values()}
    own = work / "runs.json"
    shared = scratch / f"wordings-{_digest({**params, 'playground': None}, wordings)}.json"
    runs: dict[Path, dict[str, dict[str, Run]]] = {path: read_json(path) if path.exists() else {} for path in (own, shared)}
    parts = [(group, seed) for group in GROUPS for seed in group.seeds]
    for group, seed in tqdm(parts, desc=f"quality, playground {matrix['settings']['seed']}", unit=" groups"):
        path = shared if group.vectors in WITHOUT_EXAMPLES else own
        if all(str(seed) in runs[path].get(name, {}) for name in group.selectors):
            continue
        for name, run in run_group(work, params, group, seed).items():
            runs[path].setdefault(name, {})[str(seed)] = run
        write_json(path, runs[path])
    for folder in ("selector", "cache"):
        shutil.rmtree(work / folder, ignore_errors=True)
    return runs[own] | runs[shared], families


def main(params: Path, transfer: Path, model: Path, scratch: Path, out: Path) -> None:
    """Measure every bed, write the summary and the figure, print the table.

    Raises:
        InputError: no transfer matrix is there, or one of another bed.
    """
    matrices, values = read_matrices(transfer), config.read_params(params)
    top_k, scores, runs, families = values["select"]["top_k"], {}, {}, {}
    for seed, matrix in matrices.items():
        runs[seed], families = measure(matrix, values, scratch, model)
        scores[seed] = score_bed(runs[seed], matrix, top_k=top_k)
    settings = {
        "beds": sorted(matrices),
        "best_precision": fmean(best_precision(matrix, top_k) for matrix in matrices.values()),
        "confidence": CONFIDENCE,
        "families": families,
        "inputs": INPUTS,
        "on": sorted({run["on"] for on_bed in runs.values() for by_seed in on_bed.values() for run in by_seed.values()}),
        "tokens": matrices[min(matrices)]["settings"]["finetune"]["max_tokens"],
        "top_k": top_k,
    }
    summary = {"settings": settings, "selectors": summarize(scores, runs, CONFIDENCE)}
    write_json(out / "quality.json", summary)
    write_text(out / "quality.svg", scatter(summary))
    print(table(summary))


def _arguments() -> dict[str, Path]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=ROOT / config.PARAMS_FILE)
    parser.add_argument("--transfer", type=Path, default=ROOT / "reports/selection/transfer")
    parser.add_argument("--model", type=Path, default=ROOT / bed.MODEL)
    parser.add_argument("--scratch", type=Path, default=ROOT / ".scratch/quality")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/selection")
    return vars(parser.parse_args())


if __name__ == "__main__":
    try:
        main(**_arguments())
    except InputError as error:
        sys.exit(f"error: {error}")
