"""Fidelity on P3 and BIG-bench targets: top 5 of the 35 P3 datasets that INSTA chose from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from tqdm import tqdm

from instune.evaluation.statistics import over_tasks
from instune.selection.align import unit_vectors
from instune.selection.fidelity import CONFIDENCE, SEPARATOR, Groups, by_group, chance, held_out, overlap, single_changes
from instune.selection.pairs import training_and_development
from instune.selection.rank import rank
from tools.fidelity import published
from tools.fidelity.texts import BIG_BENCH_WAYS, CLEANINGS, big_bench_texts, cleaned
from tools.fidelity.vectors import BATCH, Encode, Table, current, distinct, joined, load, mean_table, rounds, unaligned

TOP = 5
SPLITS = range(20)  # seeds of the halves; the first one gives the interval
AGGREGATIONS = ("vote", "max", "mean", "mean_of_max")
TEMPLATES = ("all", "original task")
REFERENCE = ("'text'", "all", "max", "prompt frame")  # what single changes are compared with
FIRST_LOOK = ("variable names", "all", "vote", "description; task prefix")  # before anything was compared
ROUNDS, SEEDS, RATE = 5, (0, 1), 2e-5  # of alignment
PROMPTS, DRAWS = (2, 4), 20  # numbers of wordings that INSTA also selected with; how often we draw as many

Overlaps = dict[str, dict[str, dict[str, float]]]  # published list -> setting -> target -> overlap


class P3:
    """The source datasets, and the P3 and BIG-bench targets whose lists are at hand."""

    def __init__(self, data: Path) -> None:
        """`data` holds `promptsource_templates`, `bigbench` and `insta_run_configs`."""
        self.templates = published.templates(data / "promptsource_templates/templates.tar.gz")
        self.records = published.big_bench(data / "bigbench/tasks.jsonl.gz")
        configs = data / "insta_run_configs"
        self.lists = {
            kind: published.lists(configs / "p3" / kind) | published.lists(configs / "bigbench" / kind)
            for kind in ("insta", "insta_aligned")
        }
        self.few = {count: published.lists(configs / f"p3/insta_aligned_num_prompt_{count}_for_selection") for count in PROMPTS}
        self.names = sorted(published.SOURCES)
        self.groups = {
            "P3": sorted(set(self.lists["insta"]) & set(published.TARGETS)),
            "BIG-bench": sorted(set(self.lists["insta"]) & set(published.BIG_BENCH)),
        }

    def wordings(self, dataset: str, cleaning: str, which: str) -> list[str]:
        """Distinct cleaned templates; `original task` leaves out the others, where there is one."""
        chosen = self.templates[dataset]
        if which == "original task":
            chosen = [template for template in chosen if template.original_task] or chosen
        return list(dict.fromkeys(cleaned(template, **CLEANINGS[cleaning]) for template in chosen))

    def sources(self, cleaning: str, which: str) -> list[list[str]]:
        """Wordings of each source dataset, in the order of `names`."""
        return [self.wordings(published.SOURCES[name], cleaning, which) for name in self.names]

    def ways(self, target: str, cleaning: str, which: str) -> dict[str, list[str]]:
        """Way of saying the target -> wordings; a P3 target has its templates under every way's name."""
        if target in published.TARGETS:
            return dict.fromkeys(BIG_BENCH_WAYS, self.wordings(published.TARGETS[target], cleaning, which))
        words = CLEANINGS[cleaning].get("variable", "text"), CLEANINGS[cleaning].get("choices")
        subtasks = [big_bench_texts(record, *words) for record in self.records[target]]
        return {way: list(dict.fromkeys(text for own in subtasks for text in own[way])) for way in BIG_BENCH_WAYS}

    def overlaps(self, vectors: Encode, cleanings: Sequence[str], templates: Sequence[str]) -> Overlaps:
        """Tasks of our top 5 in each published list, by setting (cleaning, templates, aggregation, way) and target."""
        result: Overlaps = {kind: {} for kind in self.lists}
        wanted, targets = list(product(cleanings, templates)), [name for names in self.groups.values() for name in names]
        own = (ways for setting in wanted for target in targets for ways in self.ways(target, *setting).values())
        vectors(
            list(chain(*own, *(texts for setting in wanted for texts in self.sources(*setting))))
        )  # one call, then remembered
        for cleaning, which in tqdm(wanted, desc="P3 selections", unit="setting"):
            texts, owners = distinct(self.sources(cleaning, which))
            sources = vectors(texts)
            for target in targets:
                for way, own in self.ways(target, cleaning, which).items():
                    encoded = vectors(own)
                    for aggregation in AGGREGATIONS:
                        order = rank(encoded, sources, owners, len(self.names), aggregation).order[:TOP]
                        chosen, setting = [self.names[place] for place in order], joined((cleaning, which, aggregation, way))
                        for kind, lists in self.lists.items():
                            result[kind].setdefault(setting, {})[target] = overlap(chosen, lists[target])
        return result

    def few_prompts(self, vectors: Encode) -> dict[str, Any]:
        """Selections by some of a target's wordings: overlap with the published list of as many, and with our list of all."""
        cleaning, which, aggregation, _ = REFERENCE
        texts, owners = distinct(self.sources(cleaning, which))
        sources = vectors(texts)

        def top(own: Sequence[str]) -> list[str]:
            return [self.names[place] for place in rank(vectors(own), sources, owners, len(self.names), aggregation).order[:TOP]]

        result = {}
        for count, lists in self.few.items():
            rows: dict[str, dict[str, float]] = {"published few": {}, "our all": {}, "published few and all": {}}
            for target, few in lists.items():
                own = self.wordings(published.TARGETS[target], cleaning, which)
                draws = [top(Random(f"{draw} {target}").sample(own, min(count, len(own)))) for draw in range(DRAWS)]
                rows["published few"][target] = fmean(overlap(draw, few) for draw in draws)
                rows["our all"][target] = fmean(overlap(draw, top(own)) for draw in draws)
                rows["published few and all"][target] = overlap(few, self.lists["insta_aligned"][target])
            result[str(count)] = {name: over_tasks(row, CONFIDENCE) for name, row in rows.items()}
        return result


def means(overlaps: Overlaps, groups: Groups, setting: str) -> dict[str, Any]:
    """Published list -> group -> mean overlap of one setting with its interval."""
    return {kind: by_group(table[setting], groups) for kind, table in overlaps.items()}


def alignments(pool: P3) -> tuple[dict[str, Any], Overlaps]:
    """Align on the source wordings with the reference's cleaning; development scores, and overlaps by round, mean over seeds."""
    cleaning, which = REFERENCE[:2]
    wordings = {name: tuple(own) for name, own in zip(pool.names, pool.sources(cleaning, which), strict=True)}
    development: dict[str, list[Any]] = {}
    seeds: list[Overlaps] = []
    for seed in SEEDS:
        model, found = load(), {kind: {} for kind in pool.lists}
        base = unit_vectors(model, {text for own in wordings.values() for text in own}, BATCH)
        train, unseen, _ = training_and_development(wordings, base, seed)
        for number, scores in enumerate(rounds(model, train, unseen, count=ROUNDS, learning_rate=RATE, seed=seed)):
            development.setdefault(f"{number} epochs", []).append(scores)
            for kind, table in pool.overlaps(current(model), [cleaning], [which]).items():
                found[kind] |= {joined((f"{number} epochs", setting)): row for setting, row in table.items()}
        seeds.append(found)
    return development, {kind: mean_table([found[kind] for found in seeds]) for kind in pool.lists}


def choices(table: Table, overlaps: Overlaps, groups: Groups) -> dict[str, Any]:
    """Held-out overlaps where settings are chosen on the targets of one group, and of both; P3 targets have one way only."""
    one_way = {setting: row for setting, row in table.items() if setting.endswith(SEPARATOR + REFERENCE[-1])}
    own = {
        f"chosen on {group}": held_out(one_way if group == "P3" else table, {group: names}, SPLITS, overlaps)
        for group, names in groups.items()
    }
    return {**own, "chosen on both": held_out(table, groups, SPLITS, overlaps)}


def report(data: Path) -> dict[str, Any]:
    """The P3 and BIG-bench part of the report."""
    pool = P3(data)
    vectors = unaligned(load())
    plain = pool.overlaps(vectors, list(CLEANINGS), TEMPLATES)
    development, tuned = alignments(pool)
    tables = {"unaligned": plain, "with alignment, cleaning fixed after seeing all targets": tuned}
    both = {name: mean_table(list(overlaps.values())) for name, overlaps in tables.items()}
    unchanged = joined(("0 epochs", *REFERENCE))
    return {
        "chance": chance(TOP, TOP, len(pool.names)),
        "groups": pool.groups,
        "settings": {name: len(table) for name, table in both.items()},
        "held_out": {name: choices(both[name], overlaps, pool.groups) for name, overlaps in tables.items()},
        "reference": {"setting": joined(REFERENCE), "overlap": means(plain, pool.groups, joined(REFERENCE))},
        "first_look": means(plain, pool.groups, joined(FIRST_LOOK)),
        "factors": {group: single_changes(both["unaligned"], joined(REFERENCE), names) for group, names in pool.groups.items()},
        "alignment": {
            "development": development,
            "overlap": {
                f"{number} epochs": means(tuned, pool.groups, joined((f"{number} epochs", *REFERENCE)))
                for number in range(ROUNDS + 1)
            },
            "change": {
                f"{kind}, {group}": {
                    part: row for part, row in single_changes(table, unchanged, names).items() if part.endswith("epochs")
                }
                for kind, table in tuned.items()
                for group, names in pool.groups.items()
            },
        },
        "few_prompts": pool.few_prompts(vectors),
    }
