"""A sweep as its file describes it, and the experiments that it consists of."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, StringConstraints, ValidationError

from instune.config import Section, read_params
from instune.errors import InputError
from tools.sweep.effects import combined

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # a part of a Git reference


class Measure(Section):
    """A number of a stage's report, of which the table says the mean over seeds."""

    report: str  # JSON that a stage writes
    measure: str  # keys in it, joined by dots; `*`: the mean over a list


class Tune(Section):
    """A parameter that every arm has at the value which is best for it, by a stage's report under the first seed."""

    key: str  # section.key
    values: Annotated[list[Any], Field(min_length=2)]  # to try, ascending where they are numbers
    stage: Name  # reproduced for each of them
    report: str  # JSON that it writes
    measure: str  # keys in it, joined by dots, lower is better; `*`: the mean over a list
    arms: list[Name] | None = None  # null: all


class Sweep(Section):
    """The content of sweeps/<name>.yaml."""

    about: Annotated[str, Field(min_length=1)]  # one sentence: what is compared, and how
    profile: Name  # profiles/<profile>.yaml, which every arm starts from
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]  # of the key `seed`
    baseline: Name  # the arm that the others are compared with
    over: dict[str, Any] = Field(default_factory=dict)  # {section.key: value} over the profile, of every arm
    arms: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # arm -> {section.key: value}, over those
    factors: dict[Name, dict[Name, dict[str, Any]]] = Field(default_factory=dict)  # factor -> level -> the same: all combinations
    metrics: Annotated[dict[str, Literal["lower", "higher"]], Field(min_length=1)]  # of reports/scores.json -> what is better
    figures: dict[str, Measure] = Field(default_factory=dict)  # column of the table -> where it stands; an arm may have none
    tune: list[Tune] = Field(default_factory=list)  # one after the other, before the experiments


@dataclass(frozen=True)
class Experiment:
    """One arm under one seed.

    Attributes:
        name: of the DVC experiment.
        params: complete parameters.
    """

    name: str
    arm: str
    seed: int
    params: dict[str, Any]


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)\n" + "\n".join(f"  {line}" for line in problems))


def _factor_problems(sweep: Sweep) -> list[str]:
    """What is wrong with `arms` and `factors`, of which a sweep has one."""
    if bool(sweep.arms) == bool(sweep.factors):
        return [f"arms, factors: {'both are' if sweep.arms else 'none is'} there. Name arms, or the factors that arms combine."]
    problems, set_by = [], {}
    for factor, levels in sweep.factors.items():
        if len(levels) < 2:
            problems.append(f"factors.{factor}: has {len(levels)} level(s). Give at least two, the reference first.")
        for key in sorted({key for changes in levels.values() for key in changes}):
            if key in set_by:
                problems.append(f"factors.{factor}: {key} is set by {set_by[key]} too. Set a parameter in one factor.")
            set_by[key] = factor
    if len(combined(sweep.factors)) < prod(map(len, sweep.factors.values())):
        problems.append("factors: two combinations of levels have one name. Rename levels, without `-`.")
    return problems


def _crossed(sweep: Sweep) -> Sweep:
    """With an arm for every combination of levels."""
    arms = {}
    for arm, levels in combined(sweep.factors).items():
        chosen = [sweep.factors[factor][level] for factor, level in zip(sweep.factors, levels, strict=True)]
        arms[arm] = {key: value for changes in chosen for key, value in changes.items()}
    return sweep.model_copy(update={"arms": arms})


def read_sweep(path: Path) -> Sweep:
    """Read and validate a sweep's file; factors become arms.

    Raises:
        InputError: the file is missing, or one line per problem with key, value, and what is allowed.
    """
    if not path.exists():
        there = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml"))) or "none"
        raise InputError(f"{path}: not found. Sweeps that are there: {there}.")
    try:
        sweep = Sweep.model_validate(read_params(path))
    except ValidationError as error:
        keys = ", ".join(Sweep.model_fields)
        said = [(".".join(map(str, item["loc"])), item["input"], item["msg"]) for item in error.errors()]
        _refuse(path, [f"{key}: {str(value)[:100]!r} is not allowed. {reason}. Keys: {keys}." for key, value, reason in said])
    problems = _factor_problems(sweep)
    _refuse(path, problems)
    sweep = _crossed(sweep) if sweep.factors else sweep
    if sweep.baseline not in sweep.arms:
        problems.append(f"baseline: {sweep.baseline!r} is no arm. Arms: {', '.join(sweep.arms)}.")
    if len(set(sweep.seeds)) < len(sweep.seeds):
        problems.append(f"seeds: {sweep.seeds} has a seed twice. Name each once.")
    for number, tune in enumerate(sweep.tune):
        if unknown := sorted(set(tune.arms or []) - set(sweep.arms)):
            problems.append(f"tune.{number}.arms: {', '.join(unknown)} is no arm. Arms: {', '.join(sweep.arms)}.")
    _refuse(path, problems)
    return sweep


def changed(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with some values replaced.

    Args:
        changes: `section.key` -> new value; a mapping replaces the whole mapping.

    Raises:
        InputError: the parameters have no such key.
    """
    result = copy.deepcopy(dict(params))
    for key, value in changes.items():
        *above, last = key.split(".")
        place: Any = result
        for depth, part in enumerate((*above, last)):
            if not isinstance(place, dict) or part not in place:
                where, there = (
                    ".".join(above[:depth]) or "the parameters",
                    ", ".join(place) if isinstance(place, dict) else "none",
                )
                raise InputError(f"{key}: there is no {part!r} in {where}. Keys there: {there}.")
            if depth < len(above):
                place = place[part]
        place[last] = copy.deepcopy(value)
    return result


def arms_of(name: str, sweep: Sweep, root: Path) -> dict[str, dict[str, Any]]:
    """Arm -> its parameters, as yet untuned and with the profile's seed.

    Raises:
        InputError: the profile is missing, or an arm or `tune` names a parameter that it does not have or the seed.
    """
    profile = root / "profiles" / f"{sweep.profile}.yaml"
    if not profile.exists():
        there = ", ".join(sorted(path.stem for path in profile.parent.glob("*.yaml"))) or "none"
        raise InputError(f"profile: {sweep.profile!r} is no file of profiles/. There are: {there}.")
    params, problems, arms = read_params(profile), [], {}
    try:
        params = changed(params, sweep.over)
    except InputError as error:
        problems.append(f"over: {error}")
    for arm, changes in sweep.arms.items():
        try:
            if "seed" in {**sweep.over, **changes}:
                raise InputError("seed: is set by the sweep's `seeds`. Take it out of the arm.")
            arms[arm] = changed(params, changes)
        except InputError as error:
            problems.append(f"arms.{arm}: {error}")
    for number, tune in enumerate(sweep.tune):
        try:
            changed(params, {tune.key: None})
        except InputError as error:
            problems.append(f"tune.{number}.key: {error}")
    _refuse(root / "sweeps" / f"{name}.yaml", problems)
    return arms


def experiments_of(name: str, sweep: Sweep, root: Path, tuned: Mapping[str, Mapping[str, Any]]) -> list[Experiment]:
    """The experiments of a sweep, seed by seed.

    Args:
        tuned: arm -> {section.key: value}, what tuning found.

    Raises:
        InputError: as of `arms_of`.
    """
    arms = {arm: changed(values, tuned.get(arm, {})) for arm, values in arms_of(name, sweep, root).items()}
    return [
        Experiment(f"{name}-{arm}-s{seed}", arm, seed, changed(values, {"seed": seed}))
        for seed in sweep.seeds
        for arm, values in arms.items()
    ]
