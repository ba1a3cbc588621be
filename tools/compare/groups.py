"""Which experiments are compared: those of a sweep's file, or all of the repository by the parameters in which they differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instune.errors import InputError
from instune.report.numbers import METRICS
from instune.results import read_json
from tools.compare.experiments import PARAMS, Entry, Unusable, comparable, digest, failed_in_queue, last_said, read_entry
from tools.sweep.found import references, yaml_at
from tools.sweep.place import BEGUN, folder_of
from tools.sweep.plan import Experiment, Sweep, arms_of, experiments_of, read_sweep

REASONS = 5  # experiments without scores that are named where none has any
SEED_SUFFIX = re.compile(r"[-_]?s(eed)?[-_]?\d+$")


@dataclass(frozen=True)
class Compared:
    """What is compared.

    Attributes:
        sweep: its arms, baseline, metrics and seeds.
        settings: arm -> the parameters in which it may differ from others, without the seed.
        missing: experiment -> why it is not among the entries.
        repeated: experiment -> the one of the same parameters and seed that stands for both.
    """

    name: str
    sweep: Sweep
    entries: list[Entry]
    settings: dict[str, dict[str, Any]]
    missing: dict[str, str]
    repeated: dict[str, str] = field(default_factory=dict)


def _without(params: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The parameters without some `section.key`s."""
    result = dict(params)
    for key in keys:
        first, _, rest = key.partition(".")
        if rest and isinstance(result.get(first), Mapping):
            result[first] = _without(result[first], [rest])
        else:
            result.pop(first, None)
    return result


def _why_missing(root: Path, name: str, experiment: Experiment) -> str:
    folder = folder_of(root, name)
    begun, log = folder / BEGUN, folder / f"{experiment.name}.log"
    if begun.exists() and read_json(begun)["name"] == experiment.name and not log.exists():
        return "begun, not finished"
    if log.exists():
        return f"failed or not finished, saying last: {last_said(log.read_text(encoding='utf-8', errors='replace'))}"
    return "not run yet"


def _of_sweep(root: Path, name: str, sweep: Sweep, experiment: Experiment, revs: list[str]) -> Entry:
    """The newest experiment of that name with these parameters, tuned ones as they are.

    Raises:
        Unusable: there is none.
    """
    tuned = [tune.key for tune in sweep.tune]
    why = _why_missing(root, name, experiment)
    for rev in revs:
        params = yaml_at(root, rev, PARAMS)
        if _without(params, tuned) != _without(experiment.params, tuned):
            why = "there with other parameters than sweeps/ says now"
            continue
        return read_entry(root, Experiment(experiment.name, experiment.arm, experiment.seed, params), rev)
    raise Unusable(why)


def of_sweep(root: Path, name: str) -> Compared:
    """The experiments of sweeps/<name>.yaml, whatever code they ran with.

    Raises:
        InputError: the sweep's file, or the sweep has no experiment yet.
    """
    sweep = read_sweep(root / f"sweeps/{name}.yaml")
    known, entries, missing = references(root), [], {}
    for experiment in tqdm(experiments_of(name, sweep, root, {}), unit=" experiments", leave=False):
        try:
            entries.append(_of_sweep(root, name, sweep, experiment, known.get(experiment.name, [])))
        except Unusable as why:
            missing[experiment.name] = str(why)
    if not entries:
        reasons = "; ".join(sorted(set(missing.values())))
        raise InputError(f"{name}: none of its {len(missing)} experiments is there ({reasons}). Run `make sweep NAME={name}`.")
    entries, other = _one_set_of_tasks(entries, sweep.baseline)
    planned = arms_of(name, sweep, root)
    settings = {arm: _without(params, ["seed"]) for arm, params in planned.items()}
    for entry in reversed(entries):
        settings[entry.experiment.arm] = _without(entry.experiment.params, ["seed"])
    return Compared(name, sweep, entries, settings, missing | other)


def _one_set_of_tasks(entries: list[Entry], baseline: str) -> tuple[list[Entry], dict[str, str]]:
    """Those with the baseline's target tasks; where that is missing, the most frequent ones."""
    counts = Counter(frozenset(entry.categories) for entry in entries if entry.experiment.arm == baseline)
    counts = counts or Counter(frozenset(entry.categories) for entry in entries)
    return comparable(entries, max(counts, key=lambda tasks: (counts[tasks], sorted(tasks))))


def _all_of(root: Path) -> tuple[list[Entry], dict[str, str]]:
    """Every experiment of the repository, the newest first; its arm is not known yet."""
    entries, missing = [], {}
    for name, revs in tqdm(references(root).items(), unit=" experiments", leave=False):
        for number, rev in enumerate(revs):
            said = name if number == 0 else f"{name} ({rev[:7]})"
            params = yaml_at(root, rev, PARAMS)
            try:
                entries.append(read_entry(root, Experiment(said, "", params["seed"], params), rev))
            except Unusable as why:
                missing[said] = str(why)
    return entries, missing


def _arm_name(experiment: str, taken: Iterable[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]", "_", SEED_SUFFIX.sub("", experiment) or experiment)
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _metrics(entries: Iterable[Entry]) -> dict[str, str]:
    """Metrics that every target task has in every experiment -> what is better."""
    rows = [row for entry in entries for model in entry.result.scores.values() for row in model.values()]
    shared = [metric for metric in ("nll", *METRICS) if all(row.get(metric) is not None for row in rows)]
    return {metric: "lower" if metric == "nll" else "higher" for metric in shared}


def _baseline(root: Path, groups: Mapping[str, list[Entry]], asked: str | None) -> str:
    """The group of the experiment that was asked for, else that of the committed parameters, else that of the oldest one."""
    named = {entry.experiment.name: key for key, group in groups.items() for entry in group}
    if asked is not None:
        if asked not in named:
            raise InputError(f"baseline: {asked!r} is no experiment with scores. There are: {', '.join(sorted(named))}.")
        return named[asked]
    committed = yaml_at(root, "HEAD", PARAMS)
    for key, group in groups.items():
        if all(committed.get(section) == value for section, value in group[0].read.items()):
            return key
    return list(groups)[-1]


def of_repository(root: Path, baseline: str | None) -> Compared:
    """All experiments of the repository, as hand-made ones, grouped by the parameters that their scores depend on.

    Args:
        baseline: name of an experiment, whose group the others are compared with.

    Raises:
        InputError: no experiment has scores, or the baseline is none of them.
    """
    entries, missing = _all_of(root)
    if not entries:
        reasons = "".join(f"\n  {name}: {why}" for name, why in list(missing.items())[:REASONS])
        raise InputError(f"no experiment with scores is there. Run `dvc exp run -n NAME -S ...` or `make sweep`.{reasons}")
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(digest(entry.read), []).append(entry)
    first = _baseline(root, groups, baseline)
    kept, other = comparable(entries, frozenset(groups[first][0].categories))
    names = {entry.experiment.name for entry in kept}
    groups = {key: own for key, group in groups.items() if (own := [one for one in group if one.experiment.name in names])}
    arms: dict[str, str] = {}
    for key in [first, *(key for key in reversed(groups) if key != first)]:
        arms[key] = _arm_name(groups[key][-1].experiment.name, arms.values())
    used, repeated = _once_per_seed(groups, arms)
    sweep = Sweep(
        about="Experiments of this repository, grouped by the parameters that their scores depend on, seeds apart",
        profile="none",
        seeds=sorted({entry.experiment.seed for entry in used}),
        baseline=arms[first],
        arms={arm: {} for arm in arms.values()},
        metrics=_metrics(used),
    )
    settings = {arm: groups[key][0].read for key, arm in arms.items()}
    return Compared("", sweep, used, settings, missing | other | failed_in_queue(root), repeated)


def _once_per_seed(groups: Mapping[str, list[Entry]], arms: Mapping[str, str]) -> tuple[list[Entry], dict[str, str]]:
    """The newest experiment of every arm and seed, and older ones by its name."""
    used, repeated = [], {}
    for key, group in groups.items():
        newest: dict[int, str] = {}
        for entry in group:
            one = entry.experiment
            if one.seed in newest:
                repeated[one.name] = newest[one.seed]
                continue
            newest[one.seed] = one.name
            used.append(replace(entry, result=replace(entry.result, experiment=replace(one, arm=arms[key]))))
    return used, repeated
