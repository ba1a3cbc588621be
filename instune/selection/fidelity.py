"""How close a selection is to a published one, with settings chosen on some targets and measured on the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import Any

from instune.evaluation.statistics import Summary, over_tasks, paired

Scores = Mapping[str, Mapping[str, float]]  # setting -> target -> overlap
Groups = Mapping[str, Sequence[str]]  # name -> targets
SEPARATOR = " | "  # between the parts of a setting
CONFIDENCE = 0.95


def overlap(chosen: Sequence[str], published: Sequence[str]) -> int:
    """How many tasks the two lists share; one that is listed twice counts once."""
    return len(set(chosen) & set(published))


def chance(top_k: int, published: int, pool: int) -> float:
    """Expected overlap of `top_k` tasks drawn without replacement from `pool` with a list of `published` of them."""
    return top_k * published / pool


def halves(groups: Groups, seed: int) -> tuple[list[str], list[str]]:
    """Two sets of targets, sorted; each group is split by itself, a target that is left over goes to the second."""
    first, second = [], []
    for name in sorted(groups):
        targets = sorted(groups[name])
        Random(f"{seed} halves {name}").shuffle(targets)
        middle = len(targets) // 2
        first += targets[:middle]
        second += targets[middle:]
    return sorted(first), sorted(second)


def best(scores: Scores, targets: Sequence[str]) -> list[str]:
    """The settings with the highest mean over the targets, sorted; all of them where several tie."""
    means = {setting: fmean(values[target] for target in targets) for setting, values in scores.items()}
    highest = max(means.values())
    return sorted(setting for setting, mean in means.items() if mean > highest - 1e-9)


def by_parts(scores: Scores, targets: Sequence[str]) -> list[str]:
    """The setting whose every part has the highest mean over the targets and over all settings with that part.

    Averages over many settings, so it follows the few targets of a half less than `best` does.

    Args:
        scores: every combination of the parts; a setting is its parts joined by ` | `. Of parts that tie, the first by name.
        targets: that choose.
    """
    parts: list[dict[str, list[float]]] = [{} for _ in next(iter(scores)).split(SEPARATOR)]
    for setting, values in scores.items():
        mean = fmean(values[target] for target in targets)
        for place, part in enumerate(setting.split(SEPARATOR)):
            parts[place].setdefault(part, []).append(mean)
    return [SEPARATOR.join(max(sorted(levels), key=lambda level: round(fmean(levels[level]), 9)) for levels in parts)]


RULES: dict[str, Callable[[Scores, Sequence[str]], list[str]]] = {"best setting": best, "each part": by_parts}


def cross_fit(
    scores: Scores, groups: Groups, seed: int, *, rule: str = "best setting", reported: Scores | None = None
) -> tuple[dict[str, float], list[list[str]]]:
    """Choose settings on each half of the targets, and score the other half by them.

    Args:
        scores: what settings are chosen by.
        groups: name -> targets; each group is split in halves.
        seed: of the split.
        rule: of `RULES`, how settings are chosen.
        reported: what the other half is scored by, of the same settings and targets; `scores` if None.

    Returns:
        target -> its score under what the half without it chose, the mean where settings tie; and the settings that the first
        and the second half chose.
    """
    reported = scores if reported is None else reported
    held, chosen = {}, []
    first, second = halves(groups, seed)
    for choosing, measured in ((first, second), (second, first)):
        settings = RULES[rule](scores, choosing)
        chosen.append(settings)
        held |= {target: fmean(reported[setting][target] for setting in settings) for target in measured}
    return held, chosen


def held_out(scores: Scores, groups: Groups, seeds: Sequence[int], reported: Mapping[str, Scores]) -> dict[str, Any]:
    """Cross-fitted overlaps with each published list, by rule of choice.

    Args:
        scores: what settings are chosen by.
        groups: name -> targets.
        seeds: of the splits; the first one gives the interval and the settings, all together the spread.
        reported: published list -> overlaps with it.

    Returns:
        rule -> {`chosen`: settings of the first split's halves; `measured`: list -> group, and "all" of several -> {"mean",
        "low", "high", "tasks", "splits": lowest, mean and highest of the means over all splits}}.
    """
    every = [target for targets in groups.values() for target in targets]
    shown = dict(groups) if len(groups) == 1 else {**groups, "all": every}
    result = {}
    for rule in RULES:
        measured: dict[str, dict[str, Any]] = {}
        for name, values in reported.items():
            runs = [cross_fit(scores, groups, seed, rule=rule, reported=values)[0] for seed in seeds]
            measured[name] = {}
            for group, targets in shown.items():
                means = [fmean(run[target] for target in targets) for run in runs]
                summary = over_tasks({target: runs[0][target] for target in targets}, CONFIDENCE)
                measured[name][group] = {**summary, "splits": [min(means), fmean(means), max(means)]}
        result[rule] = {"chosen": cross_fit(scores, groups, seeds[0], rule=rule)[1], "measured": measured}
    return result


def by_group(values: Mapping[str, float], groups: Groups) -> dict[str, Summary]:
    """Group -> mean over its targets with its interval."""
    return {group: over_tasks({target: values[target] for target in targets}, CONFIDENCE) for group, targets in groups.items()}


def single_changes(scores: Scores, reference: str, targets: Sequence[str]) -> dict[str, Summary]:
    """What one change of the reference does: part -> overlap of the setting with that part, else like the reference, minus the
    reference's, mean over targets with the paired interval.
    """
    base, parts = {target: scores[reference][target] for target in targets}, reference.split(SEPARATOR)
    result = {}
    for setting, values in scores.items():
        unlike = [own for own, part in zip(setting.split(SEPARATOR), parts, strict=True) if own != part]
        if len(unlike) == 1:
            result[unlike[0]] = paired({target: values[target] for target in targets}, base, CONFIDENCE)
    return result
