"""The table of scores and the map of wordings, as the page draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = 10  # categories with a colour of their own, the stylesheet's --category-0 and on; the others are grey
WIDTH, EDGE = 640, 16  # of the map, in units of its own


def _short(score: float) -> str:
    """Two decimals, as `.46`, `−.05`, `1.00`."""
    said = f"{round(score, 2) + 0.0:.2f}"  # + 0.0: no minus before a zero
    return said.replace("0.", ".", 1).replace("-", "−")


def heat(selection: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of scores: per task its cells, each with the score's last digits, its depth of colour and whether chosen."""
    table = details["scores"]
    if table is None:
        return None
    values = [score for row in table["scores"] for score in row]
    low, span = min(values), (max(values) - min(values)) or 1.0
    chosen = {target: {one["task_id"] for one in ranked} for target, ranked in selection["targets"].items()}
    rows = [
        {
            "task": task_id,
            "cells": [
                {
                    "score": _short(score),
                    "depth": f"{45 * (score - low) / span:.0f}",
                    "chosen": task_id in chosen[target],
                }
                for target, score in zip(table["targets"], row, strict=True)
            ],
        }
        for task_id, row in zip(table["tasks"], table["scores"], strict=True)
    ]
    shown = [len(table["targets"]), len(table["tasks"])]
    return {"targets": table["targets"], "rows": rows, "shown": shown, "of": table["of"], "low": low, "high": max(values)}


def _colours(points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Category -> its colour: the categories of targets first, then of chosen tasks, then those of most points."""
    weights = {"target": 1_000_000, "chosen": 1_000, "other": 1}
    seen = {category: Counter() for category in sorted({point["category"] for point in points})}
    for point in points:
        seen[point["category"]][point["kind"]] += 1
    order = sorted(seen, key=lambda name: -sum(weights[kind] * count for kind, count in seen[name].items()))
    return {name: number for number, name in enumerate(order[:COLOURS])}


def plane(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """The map: its points, those of targets last and so on top, in its own units, and its legend."""
    drawn = details["map"]
    if drawn is None:
        return None
    points, colours = drawn["points"], _colours(drawn["points"])
    lows = {axis: min(point[axis] for point in points) for axis in "xy"}
    span = max(max(point[axis] for point in points) - lows[axis] for axis in "xy") or 1.0
    scale = (WIDTH - 2 * EDGE) / span
    height = 2 * EDGE + scale * (max(point["y"] for point in points) - lows["y"])
    kinds = Counter(point["kind"] for point in points)
    placed = [
        {
            "x": f"{EDGE + scale * (point['x'] - lows['x']):.1f}",
            "y": f"{height - EDGE - scale * (point['y'] - lows['y']):.1f}",
            "kind": point["kind"],
            "colour": colours.get(point["category"]),
            "said": f"{point['task_id']}, {point['category']}: {point['text']}",
        }
        for point in sorted(points, key=lambda point: ["other", "chosen", "target"].index(point["kind"]))
    ]
    return {
        "points": placed,
        "width": WIDTH,
        "height": f"{height:.0f}",
        "legend": list(colours),
        "grey": len({point["category"] for point in points}) - len(colours),
        "kinds": kinds,
        "of": drawn["of"],
        "shares": " and ".join(f"{100 * share:.1f}" for share in drawn["shares"]),
    }
