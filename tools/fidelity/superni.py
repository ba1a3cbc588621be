"""Fidelity on SuperNI and BIG-Bench-Hard targets: top 70 of SuperNI's 756 English training tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instune.selection.align import unit_vectors
from instune.selection.fidelity import SEPARATOR, Groups, by_group, chance, held_out, overlap, single_changes
from instune.selection.pairs import drawn, training_and_development
from instune.selection.rank import rank
from tools.fidelity import published
from tools.fidelity.texts import BBH_WAYS, SUPERNI, bbh_texts
from tools.fidelity.vectors import BATCH, Encode, Table, current, distinct, joined, load, rounds, unaligned

TOP = 70
SPLITS = range(20)  # seeds of the halves; the first one gives the interval
AGGREGATIONS = ("vote", "max", "mean", "mean_of_max")
REFERENCE = ("definition", "max", "description")
ROUNDS, SEED, RATE = 2, 0, 2e-5  # of alignment
DRAWN = 250  # pairs of each label to align on, and as many to measure on

Overlaps = dict[str, dict[str, float]]  # setting -> target -> share of the published list


class SuperNI:
    """The training tasks, and the SuperNI and BIG-Bench-Hard targets whose lists are at hand."""

    def __init__(self, data: Path) -> None:
        """`data` holds `super_natural_instructions`, `bbh` and `insta_run_configs`."""
        self.records, self.names = published.super_natural_instructions(data / "super_natural_instructions")
        self.bbh = published.bbh(data / "bbh")
        configs = data / "insta_run_configs"
        numbers = {name.partition("_")[0]: name for name in self.records}
        niv2 = published.lists(configs / "niv2/insta_aligned")
        self.lists = {numbers[target.rpartition("_")[2]]: names for target, names in niv2.items()}
        self.lists |= published.lists(configs / "bbh/insta_aligned")
        self.groups = {
            "SuperNI": sorted(set(self.lists) & set(self.records)),
            "BBH": sorted(set(self.lists) & set(self.bbh)),
        }

    def sources(self, said: str) -> list[list[str]]:
        """Wordings of each training task, in the order of `names`."""
        return [SUPERNI[said](self.records[name]) for name in self.names]

    def ways(self, target: str, said: str) -> dict[str, list[str]]:
        """Way of saying the target -> wordings; a SuperNI target is said as the training tasks are, under every way's name."""
        if target in self.bbh:
            return bbh_texts(*self.bbh[target])
        return dict.fromkeys(BBH_WAYS, SUPERNI[said](self.records[target]))

    def overlaps(self, vectors: Encode, said_so: Sequence[str]) -> Overlaps:
        """Share of the published list that our top 70 has, by setting (training tasks' text, aggregation, way) and target."""
        result: Overlaps = {}
        vectors(list(chain(*(ways for said in said_so for name in self.lists for ways in self.ways(name, said).values()))))
        vectors(list(chain(*(texts for said in said_so for texts in self.sources(said)))))
        for said in tqdm(said_so, desc="SuperNI selections", unit="setting"):
            texts, owners = distinct(self.sources(said))
            sources = vectors(texts)
            for target, listed in self.lists.items():
                for way, own in self.ways(target, said).items():
                    for aggregation in AGGREGATIONS:
                        order = rank(vectors(own), sources, owners, len(self.names), aggregation).order[:TOP]
                        share = overlap([self.names[place] for place in order], listed) / len(set(listed))
                        result.setdefault(joined((said, aggregation, way)), {})[target] = share
        return result

    def wordings(self, positives: str) -> dict[str, tuple[str, ...]]:
        """What counts as said alike: a task's definition without and with two examples, or the definitions of a category."""
        if positives == "own examples":
            return {name: tuple(SUPERNI["definition; with 2 examples"](self.records[name])) for name in self.names}
        categories: dict[str, list[str]] = {}
        for name in self.names:
            categories.setdefault(self.records[name]["Categories"][0], []).append(self.records[name]["Definition"][0])
        return {category: tuple(texts) for category, texts in categories.items()}


def alignments(pool: SuperNI) -> tuple[dict[str, Any], Overlaps]:
    """Align on each kind of positives; development scores by kind and round, and the shares by definitions."""
    development: dict[str, list[Any]] = {}
    result: Overlaps = {}
    for positives in ("own examples", "same category"):
        model, wordings = load(), pool.wordings(positives)
        base = unit_vectors(model, {text for own in wordings.values() for text in own}, BATCH)
        train, unseen, _ = training_and_development(wordings, base, SEED)
        train, unseen = drawn(train, DRAWN, SEED), drawn(unseen, DRAWN, SEED)
        development[positives] = []
        for number, scores in enumerate(rounds(model, train, unseen, count=ROUNDS, learning_rate=RATE, seed=SEED)):
            development[positives].append(scores)
            if number:
                name = f"{positives}, {number} epochs"
                table = pool.overlaps(current(model), [REFERENCE[0]])
                result |= {joined((name, setting)): row for setting, row in table.items()}
    return development, result


def choices(table: Table, groups: Groups) -> dict[str, Any]:
    """Held-out shares by group; SuperNI targets have one way only."""
    one_way = {setting: row for setting, row in table.items() if setting.endswith(SEPARATOR + REFERENCE[-1])}
    own = {"SuperNI": one_way, "BBH": table}
    return {group: held_out(own[group], {group: names}, SPLITS, {"insta_aligned": own[group]}) for group, names in groups.items()}


def report(data: Path) -> dict[str, Any]:
    """The SuperNI and BIG-Bench-Hard part of the report."""
    pool = SuperNI(data)
    plain = pool.overlaps(unaligned(load()), list(SUPERNI))
    development, tuned = alignments(pool)
    name, reference = "unaligned", joined(REFERENCE)
    tuned |= {joined((name, setting)): row for setting, row in plain.items() if setting.startswith(REFERENCE[0] + SEPARATOR)}
    changes = {group: single_changes(tuned, joined((name, reference)), names) for group, names in pool.groups.items()}
    tables = {"unaligned": plain, "with alignment": tuned}
    return {
        "chance": chance(TOP, TOP, len(pool.names)) / TOP,
        "groups": pool.groups,
        "settings": {name: len(table) for name, table in tables.items()},
        "held_out": {name: choices(table, pool.groups) for name, table in tables.items()},
        "reference": {"setting": reference, "overlap": by_group(plain[reference], pool.groups)},
        "factors": {group: single_changes(plain, reference, names) for group, names in pool.groups.items()},
        "alignment": {
            "development": development,
            "overlap": {name: by_group(row, pool.groups) for name, row in tuned.items() if f"{SEPARATOR}max{SEPARATOR}" in name},
            "change": {
                group: {part: row for part, row in rows.items() if part.endswith("epochs")} for group, rows in changes.items()
            },
        },
    }
