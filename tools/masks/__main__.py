"""The analyses of arXiv 2405.14394 from a finished sweep: losses, memorization, weights; gain by ratio and by number of rows.

Not a stage: `make sweep NAME=masks` (or masks-data) first, then `python -m tools.masks masks`. Runs no model.

Reads:  sweeps/<name>.yaml and the experiments of the sweep: reports/scores.json, reports/finetune.json, and, where training rows
        are asked again, data/predictions/tuned (from the DVC cache)
Writes: reports/masks/<name>.json: by arm, training and held-out NLL per output token, BLEU-4 on training instructions, intervals,
        differences to the baseline; IM's gains where the sweep has pairs of arms it_<x> and im_<x>; reports/masks/<name>*.svg;
        a table on stdout
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dvc.api

from instune.errors import InputError
from instune.evaluation.predictions import FILE, Prediction
from instune.results import write_json, write_text
from instune.tuning.labels import loss_weights
from tools.masks.plot import TITLES, arms_svg, gains_svg
from tools.masks.study import RECALL, Run, gains, line, run_of, summarize
from tools.sweep.__main__ import ROOT, planned
from tools.sweep.found import RESULTS, find, head, json_at
from tools.sweep.plan import Experiment, read_sweep

PREDICTIONS = f"data/predictions/tuned/{FILE}"
IT, IM = "it_", "im_"
GROUPS = {"ratio": "ratio_", "rows": "rows_"}  # axis of a figure of gains -> how the names of its pairs begin


def predictions_at(root: Path, rev: str) -> list[Prediction]:
    """The tuned model's predictions as an experiment has them."""
    with dvc.api.open(PREDICTIONS, repo=str(root), rev=rev, encoding="utf-8") as file:
        return [Prediction(**json.loads(line)) for line in file]


def runs_of(name: str, root: Path) -> tuple[list[Run], list[str]]:
    """What every experiment that is there came to, and the names of those that are not."""
    experiments = planned(name, read_sweep(root / f"sweeps/{name}.yaml"), root)
    found, runs, missing = find(root, experiments, head(root)), [], []
    for experiment in experiments:
        rev = found[experiment.name].rev
        if rev is None:
            missing.append(experiment.name)
            continue
        scores, finetune = (json_at(root, rev, path) for path in RESULTS)
        again = any(task.startswith(f"{RECALL}:") for task in scores["models"]["tuned"]["tasks"])
        runs.append(run_of(experiment, scores, finetune, predictions_at(root, rev) if again else []))
    return runs, missing


def instruction_weights(experiments: Sequence[Experiment], baseline: str) -> dict[str, float]:
    """Arm -> weight of the user's text, of the arms that differ from the baseline in it alone."""
    params = {one.arm: one.params["finetune"] for one in experiments}
    chosen = {}
    for arm, own in params.items():
        weights = loss_weights(own["loss_mask"])
        plain = {**weights, **dict.fromkeys(("system", "instruction", "examples", "input"), 0.0)} == loss_weights("it")
        if plain and own["normalize_by"] == params[baseline]["normalize_by"]:
            chosen[arm] = weights["input"]
    return chosen


def pairs_of(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """x -> (it_x, im_x) of the arms that come in pairs."""
    names = [arm.removeprefix(IT) for arm in arms if arm.startswith(IT)]
    return {name: (IT + name, IM + name) for name in names if IM + name in arms}


def _said(one: Mapping[str, Any] | None, *, sign: str = "") -> str:
    if one is None:
        return "-"
    mean = f"{one['mean']:{sign}.3f}"
    return mean if one["low"] is None else f"{mean} [{one['low']:{sign}.3f}, {one['high']:{sign}.3f}]"


def table(content: Mapping[str, Any]) -> str:
    """The summary as Markdown."""
    measures = [measure for measure in TITLES if any(measure in arm["measures"] for arm in content["arms"].values())]
    head_row = [
        "arm",
        "seeds",
        "ratio",
        "rows",
        *(cell for measure in measures for cell in (measure, f"minus {content['baseline']}")),
    ]
    lines = [head_row, ["---"] * len(head_row)]
    for arm, said in content["arms"].items():
        cells = [arm, str(len(said["seeds"])), f"{said['ratio']:.2f}", str(said["rows"])]
        for measure in measures:
            one = said["measures"].get(measure)
            cells += [_said(one), _said(one and one.get("minus_baseline"), sign="+")]
        lines.append(cells)
    text = ["| " + " | ".join(cells) + " |" for cells in lines]
    for name, one in content["gains"].items():
        text.append(
            f"- {name}: ratio {one['ratio']:.2f}, {one['rows']} rows, IM's gain {_said(one, sign='+')} nats per output token"
        )
    if content["missing"]:
        text.append(f"- INCOMPLETE, missing: {', '.join(content['missing'])}")
    return "\n".join(text)


def write(name: str, root: Path, runs: Sequence[Run], missing: Sequence[str]) -> None:
    """Summary, figures and table."""
    sweep, out = read_sweep(root / f"sweeps/{name}.yaml"), root / "reports/masks"
    arms = summarize(runs, list(sweep.arms), sweep.baseline)
    gained = gains(runs, pairs_of(list(sweep.arms)))
    content = {"sweep": name, "baseline": sweep.baseline, "arms": arms, "gains": gained, "missing": list(missing)}
    groups = {key: [one for pair, one in gained.items() if pair.startswith(prefix)] for key, prefix in GROUPS.items()}
    content["fits"] = {key: line([(one[key], one["mean"]) for one in group]) for key, group in groups.items()}
    write_json(out / f"{name}.json", content)
    weights = {} if gained else instruction_weights([run.experiment for run in runs], sweep.baseline)
    if sweep.baseline in arms:
        write_text(out / f"{name}.svg", arms_svg(arms, weights, sweep.baseline))
    if any(groups.values()):
        write_text(out / f"{name}-gains.svg", gains_svg(groups["ratio"], groups["rows"]))
    print(f"{table(content)}\n\n{out / name}.json and .svg: written")


def main(name: str, *, root: Path = ROOT) -> None:
    """Gather what is there.

    Raises:
        InputError: no such sweep, or nothing of it is there.
    """
    runs, missing = runs_of(name, root)
    if not runs:
        raise InputError(f"{name}: no experiment is there. Run `make sweep NAME={name}` first.")
    write(name, root, runs, missing)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a file in sweeps/")
    try:
        main(parser.parse_args().name)
    except InputError as error:
        sys.exit(f"error: {error}")
