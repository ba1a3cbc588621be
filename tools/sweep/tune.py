"""What every arm of a sweep does best with: values of a parameter tried under the first seed, the best by a stage's report.

The trials are no experiments: each runs the pipeline as far as that stage. They stand in .scratch/sweeps/<name>/tuned.json with
a hash of their code; of the same parameters and code none runs again, and DVC's run cache knows what other code leaves as it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instune.errors import InputError
from instune.results import read_json, write_json
from tools.sweep.found import code_at
from tools.sweep.measures import measured
from tools.sweep.place import Failed, Place, prepare, try_stage
from tools.sweep.plan import Experiment, Sweep, Tune, arms_of, changed

TUNED = "tuned.json"

Trials = list[dict[str, Any]]  # {"arm", "key", "value", "loss" (None: failed), "params", "code"}


def _trial(place: Place, tune: Tune, experiment: Experiment, commit: str) -> float | None:
    """The loss, None where the stage refuses the value, as after a divergence.

    Raises:
        InputError: the trial ended otherwise, as one that was killed for its memory: this says nothing about the value.
    """
    try:
        clone = try_stage(place, experiment, commit, tune.stage)
    except Failed as failed:
        if not failed.refused:
            raise InputError(
                f"{experiment.name} was killed or broke, which says nothing about its value of {tune.key}.\n{failed}\n"
                f"  All of its output: {place.log(experiment)}. Mend the cause, and run it again: it goes on from there."
            ) from None
        tqdm.write(f"{experiment.name} FAILED and is not chosen; its output: {place.log(experiment)}\n{failed}", file=sys.stderr)
        return None
    loss = measured(read_json(clone / tune.report), tune.measure)
    return loss if math.isfinite(loss) else None


def _best(tune: Tune, arm: str, losses: Mapping[int, float | None]) -> Any:
    known = {place: loss for place, loss in losses.items() if loss is not None}
    if not known:
        raise InputError(f"{tune.key}: every value of {tune.values} failed in arm {arm}. Try others.")
    return tune.values[min(known, key=known.__getitem__)]


def _wanted(name: str, sweep: Sweep, tune: Tune, params: Mapping[str, Any], arm: str) -> Iterator[Experiment]:
    for number, value in enumerate(tune.values):
        trial = changed(params, {tune.key: value, "seed": sweep.seeds[0]})
        yield Experiment(f"{name}-{arm}-{tune.key.replace('.', '-')}-{number}", arm, sweep.seeds[0], trial)


def trials_of(name: str, sweep: Sweep, root: Path) -> list[tuple[Experiment, str]]:
    """Every trial with the stage that it ends with; what is tuned before it has the value of the sweep's file."""
    arms = arms_of(name, sweep, root)
    wanted = ((tune, arm) for tune in sweep.tune for arm in tune.arms or sweep.arms)
    return [(trial, tune.stage) for tune, arm in wanted for trial in _wanted(name, sweep, tune, arms[arm], arm)]


def tune_all(name: str, sweep: Sweep, place: Place, commit: str) -> None:
    """Run the trials that are not there, and keep the results of all.

    Raises:
        InputError: every value failed in an arm, a trial was killed or broke, or a report has no such measure.
    """
    path, ready = place.folder / TUNED, False
    known: Trials = read_json(path) if path.exists() else []
    arms, code, kept = arms_of(name, sweep, place.root), code_at(place.root, commit), []
    for tune in sweep.tune:
        for arm in tqdm(tune.arms or list(arms), desc=tune.key, unit="arm"):
            losses = {}
            for number, trial in enumerate(_wanted(name, sweep, tune, arms[arm], arm)):
                one = {"arm": arm, "key": tune.key, "value": tune.values[number], "params": trial.params, "code": code}
                found = [other for other in known if {**other, "loss": 0} == {**one, "loss": 0}]
                if not found:
                    if not ready:
                        prepare(place)
                        ready = True
                    found = [one | {"loss": _trial(place, tune, trial, commit)}]
                    known += found
                    write_json(path, known)
                kept += found[:1]
                losses[number] = found[0]["loss"]
            arms[arm] = changed(arms[arm], {tune.key: _best(tune, arm, losses)})
    write_json(path, kept)


def tuned(name: str, sweep: Sweep, folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm -> section.key -> {"chosen": value, "trials": [[value, loss], ...]}, of what `tune_all` kept.

    Raises:
        InputError: it has not run yet.
    """
    if not sweep.tune:
        return {}
    path = folder / TUNED
    if not path.exists():
        raise InputError(f"{name}: nothing is tuned yet. Run `make sweep NAME={name}` first.")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    trials: Trials = read_json(path)
    for tune in sweep.tune:
        for arm in tune.arms or sweep.arms:
            own = [(one["value"], one["loss"]) for one in trials if (one["arm"], one["key"]) == (arm, tune.key)]
            chosen = _best(tune, arm, dict(enumerate(loss for _, loss in own)))
            found.setdefault(arm, {})[tune.key] = {"chosen": chosen, "trials": [list(pair) for pair in own]}
    return found
