"""What to know before believing a comparison: parameters that differ, experiments that are the same, code that is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instune.report.tables import plain
from tools.compare.experiments import Entry, digest
from tools.compare.groups import Compared

NAMED = 3  # files that are named


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    rows = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows |= _flat(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = value
    return rows


def differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """section.key -> arm -> value as text, a dash where it has none; only what is not the same in all arms."""
    flat = {arm: _flat(values) for arm, values in settings.items()}
    keys = sorted(set().union(*flat.values()))
    found = {key: {arm: plain(values[key]) if key in values else "–" for arm, values in flat.items()} for key in keys}
    return {key: values for key, values in found.items() if len(set(values.values())) > 1}


def same_parameters(settings: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Arms that are one and the same, in groups."""
    groups: dict[str, list[str]] = {}
    for arm, values in settings.items():
        groups.setdefault(digest(values), []).append(arm)
    return [arms for arms in groups.values() if len(arms) > 1]


def same_scores(entries: Iterable[Entry]) -> list[list[str]]:
    """Arms of other parameters and the same score of every task, metric and seed, in groups."""
    by_arm: dict[str, dict[str, Any]] = {}
    for entry in entries:
        by_arm.setdefault(entry.experiment.arm, {})[str(entry.experiment.seed)] = entry.result.scores["tuned"]
    return same_parameters(by_arm)


def code_versions(entries: Sequence[Entry]) -> list[str]:
    """A sentence where the experiments ran with more than one code: how many, and which files or commands differ; else none."""
    versions: dict[str, list[Entry]] = {}
    for entry in entries:
        versions.setdefault(digest(entry.code), []).append(entry)
    if len(versions) == 1:
        return []
    first = next(iter(versions.values()))[0].code
    others = [own[0].code for own in versions.values()]
    changed = sorted({key for code in others for key in {*code, *first} if code.get(key) != first.get(key)})
    counts = sorted((len(own) for own in versions.values()), reverse=True)
    named = ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
    return [
        f"The experiments ran with {len(versions)} versions of the code or raw data behind the scores "
        f"({', '.join(map(str, counts))} experiments), which differ in {named}: a difference may come from there."
    ]


def duplicates(compared: Compared) -> list[str]:
    """Sentences about experiments that are there twice."""
    said = [f"{', '.join(arms)}: the same parameters, under other names." for arms in same_parameters(compared.settings)]
    known = {frozenset(arms) for arms in same_parameters(compared.settings)}
    said += [
        f"{', '.join(arms)}: equal scores on every task under every seed; what they differ in had no effect."
        for arms in same_scores(compared.entries)
        if frozenset(arms) not in known
    ]
    said += [
        f"{name}: parameters and seed of {other}, which is newer and stands for both."
        for name, other in compared.repeated.items()
    ]
    return said


def incomparable(compared: Compared) -> list[str]:
    """Sentences about seeds that not every arm has."""
    seeds: dict[str, set[int]] = {arm: set() for arm in compared.sweep.arms}
    for entry in compared.entries:
        seeds[entry.experiment.arm].add(entry.experiment.seed)
    baseline = seeds[compared.sweep.baseline]
    few = [arm for arm, own in seeds.items() if own and arm != compared.sweep.baseline and not own & baseline]
    if not baseline:
        return [f"The baseline {compared.sweep.baseline} has no experiment: there is nothing to compare with."]
    return [f"{', '.join(few)}: no seed in common with {compared.sweep.baseline}, so no difference can be paired."] if few else []
