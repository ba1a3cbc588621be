"""Run a named sweep as DVC experiments, and gather their scores.

Not a stage: `make sweep NAME=selection` runs it. For every seed and every arm of sweeps/<name>.yaml there is an experiment
<name>-<arm>-s<seed>, run in a clone of what is committed (.scratch/sweeps/<name>/), so that the files here stay as they are.
What is there for the same parameters and code is not run again; a killed sweep goes on where it stopped, in the middle of a
stage that has checkpoints. A failed experiment is told, the others go on, and the exit status is 1. --gather runs nothing.
What `tune` names is tuned first, arm by arm. Before the rest starts it says what that will cost.

Reads:  sweeps/<name>.yaml; profiles/<profile>.yaml; reports/scores.json and reports/finetune.json of every experiment
Writes: the experiments (`dvc exp show`, `dvc exp apply`); reports/sweeps/<name>.json: settings, and for every arm means,
        intervals and paired differences to the baseline; <name>.svg; the table on stdout
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from instune.config import PARAMS_FILE
from instune.errors import InputError
from instune.files import full_disk
from instune.results import write_json, write_text
from stages.check import check
from stages.command import no_room
from tools.bed import write_params
from tools.sweep.estimate import estimate, keep_seconds
from tools.sweep.found import RESULTS, find, head, json_at
from tools.sweep.measures import measured
from tools.sweep.place import BEGUN, Failed, Place, alone, discard, folder_of, prepare, run
from tools.sweep.plan import Experiment, Sweep, experiments_of, read_sweep
from tools.sweep.plot import svg
from tools.sweep.summary import result_of, summarize
from tools.sweep.table import table
from tools.sweep.tune import TUNED, trials_of, tune_all, tuned

ROOT = Path(__file__).parents[2]


def check_params(experiments: Iterable[Experiment]) -> None:
    """Validate the parameters of every arm by the stages' own sections.

    Raises:
        InputError: what `stages.check` refuses, with the arm's name.
    """
    arms = {experiment.arm: experiment.params for experiment in experiments}
    for arm, params in arms.items():
        with tempfile.TemporaryDirectory() as folder:
            write_params(Path(folder), params)
            try:
                check(Path(folder) / PARAMS_FILE)
            except InputError as error:
                raise InputError(f"arms.{arm}: {str(error).replace(f'{folder}/', '')}") from None


def run_all(place: Place, experiments: Iterable[Experiment], commit: str) -> dict[str, str]:
    """Run experiments one after another; returns experiment -> last lines of those that failed."""
    prepare(place)
    failures = {}
    progress = tqdm(list(experiments), unit=" experiments")
    for experiment in progress:
        progress.set_description(experiment.name)
        begin, resumed = perf_counter(), (place.folder / BEGUN).exists()
        try:
            run(place, experiment, commit)
            if not resumed:
                keep_seconds(place.folder, experiment, perf_counter() - begin)
        except Failed as failed:
            failures[experiment.name] = str(failed)
            tqdm.write(f"{experiment.name} FAILED; all of its output: {place.log(experiment)}\n{failed}", file=sys.stderr)
    if not failures:
        discard(place)
    return failures


def planned(name: str, sweep: Sweep, root: Path) -> list[Experiment]:
    """The experiments, each arm with what is best for it."""
    found = tuned(name, sweep, folder_of(root, name))
    best = {arm: {key: one["chosen"] for key, one in keys.items()} for arm, keys in found.items()}
    return experiments_of(name, sweep, root, best)


def figures_at(sweep: Sweep, root: Path, rev: str) -> dict[str, float]:
    """The sweep's figures of one experiment, of which its reports need not have each."""
    found = {}
    for name, figure in sweep.figures.items():
        with contextlib.suppress(InputError):
            found[name] = measured(json_at(root, rev, figure.report), figure.measure)
    return found


def gather(name: str, root: Path, commit: str, failures: Mapping[str, str]) -> None:
    """Write the summary and the figure of what is there, print the table."""
    sweep = read_sweep(root / f"sweeps/{name}.yaml")
    experiments = planned(name, sweep, root)
    found, results, missing = find(root, experiments, commit), [], {}
    for experiment in experiments:
        rev = found[experiment.name].rev
        if rev:
            results.append(result_of(experiment, *(json_at(root, rev, path) for path in RESULTS), figures_at(sweep, root, rev)))
        else:
            missing[experiment.name] = "failed" if experiment.name in failures else found[experiment.name].why
    summary = summarize(name, sweep, results, missing, tuned(name, sweep, folder_of(root, name)))
    write_json(root / f"reports/sweeps/{name}.json", summary)
    write_text(root / f"reports/sweeps/{name}.svg", svg(summary))
    print(table(summary))


def run_missing(name: str, root: Path, commit: str) -> dict[str, str]:
    """Tune, then run what is not there; returns what failed."""
    sweep = read_sweep(root / f"sweeps/{name}.yaml")
    untuned = experiments_of(name, sweep, root, {})
    check_params(untuned)
    with alone(root, name) as place:
        if sweep.tune and not (place.folder / TUNED).exists():
            trials = trials_of(name, sweep, root)
            print(f"{name}: {estimate(root, place.folder, name, commit, untuned, untuned, trials)}", flush=True)
        tune_all(name, sweep, place, commit)
        experiments = planned(name, sweep, root)
        found = find(root, experiments, commit)
        todo = [experiment for experiment in experiments if not found[experiment.name].rev]
        print(
            f"{name}: {len(experiments) - len(todo)} of {len(experiments)} experiments are there, {len(todo)} to run", flush=True
        )
        for experiment in todo:
            print(f"  {experiment.name}: {found[experiment.name].why}", flush=True)
        if not todo:
            return {}
        check_params(todo)
        print(f"{name}: {estimate(root, place.folder, name, commit, experiments, todo)}", flush=True)
        return run_all(place, todo, commit)


def main(name: str, *, gather_only: bool = False, root: Path = ROOT) -> None:
    """Run what is missing, then gather.

    Raises:
        InputError: the sweep's file, a parameter, or uncommitted code.
        SystemExit: 1, where an experiment failed.
    """
    read_sweep(root / f"sweeps/{name}.yaml")
    commit = head(root)
    failures = {} if gather_only else run_missing(name, root, commit)
    gather(name, root, commit, failures)
    if failures:
        sys.exit(f"{name}: {len(failures)} experiments failed; `make sweep NAME={name}` tries them again")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a file in sweeps/")
    parser.add_argument("--gather", action="store_true", help="run nothing, summarize what is there")
    options = parser.parse_args()
    try:
        main(options.name, gather_only=options.gather)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if not (full := full_disk(error)):
            raise
        sys.exit(f"error: {no_room(full)}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
