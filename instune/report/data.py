"""What the page says about each pool: the data card beside the lengths that the lengths stage measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instune.report import numbers, plots, tables

SHOWN_CATEGORIES = 15
SHOWN_REASONS = 15  # in the open; the others unfold
SHOWN_OVERLAPS = 10  # pairs of tasks; the rest stand in reports/data_card.json
PARTS = {
    "instruction": "instruction",
    "input": "input",
    "output": "output",
    "system_and_user": "system and user",
    "assistant": "assistant",
}
NOT_MEASURED = {"examples": 0, "of": 0, "parts": {}}  # of a pool that ingest.overlap: drop left nothing of
QUANTILES = ("p5", "p25", "p50", "p75", "p95", "max")


def pools(card: Mapping[str, Any], lengths: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything about every pool, pools by name.

    Args:
        card: data_card.json, an entry per pool.
        lengths: lengths.json, an entry per pool.
    """
    return [
        _pool(name, facts, lengths.get(name, NOT_MEASURED), f"lengths-{number}")
        for number, (name, facts) in enumerate(sorted(card.items()))
    ]


def _pool(name: str, facts: Mapping[str, Any], measured: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    splits = sorted(facts["splits"].items(), reverse=True)  # train, test
    overlap = facts["overlap"]
    return {
        "name": name,
        "facts": facts,
        "splits": ", ".join(f"{tables.plain(count)} {split}" for split, count in splits),
        "ratio": f"{facts['instruction_output_ratio']:.4f}",
        "settings": sorted(tables.flat(facts["settings"]), key=lambda row: row[0] != "reader"),
        "measured": measured,
        "lengths": length_rows(measured),
        "words": words_of_all(facts["words"]),
        "plots": length_plots(measured, prefix),
        "bars": 1 < len(facts["categories"]) < facts["tasks"],
        "categories": category_rows(facts["categories"]),
        "more_categories": more(facts["categories"], SHOWN_CATEGORIES),
        "left_out": left_out_rows(facts),
        "overlap": [
            [pair["target"], pair["source"], tables.plain(pair["exact"]), tables.plain(pair["near"])]
            for pair in overlap[:SHOWN_OVERLAPS]
        ],
        "more_overlap": max(0, len(overlap) - SHOWN_OVERLAPS),
        "overlap_counts": {kind: sum(pair[kind] for pair in overlap) for kind in ("exact", "near")},
    }


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def category_rows(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The largest categories: name, tasks, and the bar's length in percent of the largest."""
    largest = max(counts.values(), default=1)
    return [
        {"name": name, "tasks": tables.plain(count), "bar": f"{100 * count / largest:.1f}"}
        for name, count in _ordered(counts)[:SHOWN_CATEGORIES]
    ]


def more(counts: Mapping[str, int], shown: int) -> dict[str, int]:
    """How many entries come after the shown ones, and what they count together."""
    rest = _ordered(counts)[shown:]
    return {"entries": len(rest), "count": sum(count for _, count in rest)}


def left_out_rows(facts: Mapping[str, Any]) -> dict[str, tables.Rows]:
    """Reason, its first place and how many, the most frequent first: in the open, and what unfolds."""
    rows = [[reason, facts["first_skipped"].get(reason, ""), tables.plain(count)] for reason, count in _ordered(facts["skipped"])]
    return {"shown": rows[:SHOWN_REASONS], "more": rows[SHOWN_REASONS:]}


def length_rows(measured: Mapping[str, Any]) -> tables.Rows:
    """Part, unit, mean, quantiles, maximum."""
    return [
        [said, unit, f"{lengths['mean']:.1f}", *(tables.plain(lengths[name]) for name in QUANTILES)]
        for part, said in PARTS.items()
        if part in measured["parts"]
        for unit, lengths in sorted(measured["parts"][part].items(), reverse=True)
    ]


def words_of_all(words: Mapping[str, Mapping[str, float]]) -> str:
    """The data card's lengths in words."""
    return "; ".join(
        f"{said} {words[part]['mean']:.1f} and {tables.plain(words[part]['p95'])}"
        for part, said in PARTS.items()
        if part in words
    )


def length_plots(measured: Mapping[str, Any], prefix: str) -> list[str]:
    """One histogram per part, all on the same axis of lengths."""
    parts = measured["parts"]
    longest = max((len(values["histogram"]) for units in parts.values() for values in units.values()), default=0)
    return [
        plots.length_plot(
            {
                f"{unit}, median {tables.plain(units[unit]['p50'])}": (
                    units[unit]["histogram"] + [0] * (longest - len(units[unit]["histogram"]))
                )
                for unit in ("words", "tokens")
            },
            name=f"{prefix}-{part.replace('_', '-')}",
            title=numbers.sentence(said),
        )
        for part, said in PARTS.items()
        if (units := parts.get(part))
    ]
