"""Regret against cost as an SVG: one point per selector with its interval, and labels that do not overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from scipy.optimize import isotonic_regression

STYLE = {
    "svg.hashsalt": "instune",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
SIZE, DPI = (9.0, 6.0), 72  # inches; a pixel is a point
APART = 1.6  # least factor between neighbours
WITHOUT = 100  # factor between the lowest cost and the place of selectors that cost none
REACHES = (10, 22, 36, 52, 72, 95, 120, 150)  # points between a label and its point
DIRECTIONS = ((1, 0), (-1, 0), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (0, 1), (0, -1))
GAP = 2  # points around a label, a point, an interval
INK, MUTED = "#222222", "#8a8a8a"


def places(costs: Sequence[int]) -> list[float]:
    """Where each cost stands on a logarithmic axis: zeros on the left, neighbours moved apart by least squares."""
    least = min((cost for cost in costs if cost), default=WITHOUT)
    wanted = np.log([cost or least / WITHOUT for cost in costs])
    order, room = np.argsort(wanted, kind="stable"), np.log(APART) * np.arange(len(costs))
    found = np.empty(len(costs))
    found[order] = np.exp(isotonic_regression(wanted[order] - room).x + room)
    return found.tolist()


def overlap(one: Bbox, two: Bbox) -> float:
    """Area that two boxes share."""
    width, height = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
    return width * height if width > 0 and height > 0 else 0.0


def free_place(
    point: tuple[float, float], size: tuple[float, float], taken: Sequence[Bbox], marks: Sequence[Bbox], lines: Sequence[Path]
) -> tuple[Bbox, Path]:
    """A box of this size near the point, and the line between them.

    It shares nothing with `taken`; of such places the one with the lowest price: the reach in points, more for covering `marks`,
    for a line through them, and above all for lines across boxes.

    Raises:
        ValueError: there is no such place.
    """
    found = []
    for order, (reach, (right, up)) in enumerate(product(REACHES, DIRECTIONS)):
        x, y = point[0] + right * (reach + size[0] / 2), point[1] + up * (reach + size[1] / 2)
        box, line = Bbox.from_bounds(x - size[0] / 2, y - size[1] / 2, *size), Path([point, (x, y)])
        if not any(overlap(box, other) for other in taken):
            crossings = sum(other.intersects_bbox(box) for other in lines) + sum(line.intersects_bbox(other) for other in taken)
            through, covered = sum(line.intersects_bbox(mark) for mark in marks), sum(overlap(box, mark) for mark in marks)
            found.append((reach + covered + 10 * through + 100 * crossings, order, box, line))
    if not found:
        raise ValueError("no room for a label: enlarge the figure")
    return min(found, key=lambda one: one[:2])[2:]


def _marks(axes: Axes, x: float, y: float, low: float, high: float) -> list[Bbox]:
    """The boxes of a point and of its interval, in pixels."""
    (across, up), (_, bottom), (_, top) = axes.transData.transform([(x, y), (x, low), (x, high)])
    return [
        Bbox.from_extents(across - 4 - GAP, up - 4 - GAP, across + 4 + GAP, up + 4 + GAP),
        Bbox.from_extents(across - 1 - GAP, bottom, across + 1 + GAP, top),
    ]


def write_labels(axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float, float, float]]) -> list[Annotation]:
    """Write each name beside its point.

    Args:
        points: x, y, low and high of each, in the units of the axes, whose limits are final.
    """
    frame, wide = axes.get_window_extent(), 10_000
    outside = [  # beyond each side of the axes
        Bbox.from_extents(-wide, -wide, frame.x0, wide),
        Bbox.from_extents(frame.x1, -wide, wide, wide),
        Bbox.from_extents(-wide, -wide, wide, frame.y0),
        Bbox.from_extents(-wide, frame.y1, wide, wide),
    ]
    marks, taken, written = [box for point in points for box in _marks(axes, *point)], outside, []
    lines: list[Path] = []
    for name, (x, y, _, _) in sorted(zip(names, points, strict=True), key=lambda one: -one[1][1]):
        arrow = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", arrowprops=arrow, ha="center", va="center")
        bare = Text.get_window_extent(text)  # an Annotation's own extent takes in the line
        at = axes.transData.transform((x, y))
        box, line = free_place((at[0], at[1]), (bare.width + 2 * GAP, bare.height + 2 * GAP), taken, marks, lines)
        text.set_position(((box.x0 + box.x1) / 2 - at[0], (box.y0 + box.y1) / 2 - at[1]))
        taken, lines = [*taken, box], [*lines, line]
        written.append(text)
    return written


def _cost_axis(axes: Axes, costs: Sequence[int]) -> None:
    """Powers of a thousand, and `none` where selectors without cost stand."""
    least, most = min((cost for cost in costs if cost), default=1), max(costs)
    powers = [power for power in range(0, 31, 3) if least / 10 <= 10**power <= most * 10]
    ticks, names = [10.0**power for power in powers], [f"1e{power}" for power in powers]
    if 0 in costs:
        ticks, names = [least / WITHOUT, *ticks], ["none", *names]
    axes.set_xticks(ticks, names)
    axes.minorticks_off()
    axes.set_xlabel("floating-point operations of one selection, estimated; nearly equal ones are moved apart")


def draw(summary: Mapping[str, Any]) -> tuple[Figure, list[Annotation]]:
    """The figure and its labels.

    Args:
        summary: the content of quality.json.
    """
    settings, selectors = summary["settings"], summary["selectors"]
    names = [name for name in sorted(selectors) if "regret_nll" in selectors[name]["measures"]]
    regrets = [selectors[name]["measures"]["regret_nll"] for name in names]
    costs = [selectors[name]["flops"] for name in names]
    across = places(costs)
    points = [
        (x, one["mean"], one["mean"] if one["low"] is None else one["low"], one["mean"] if one["high"] is None else one["high"])
        for x, one in zip(across, regrets, strict=True)
    ]
    figure = Figure(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.1, 0.91, 0.77), xscale="log")
    lows, highs = [point[2] for point in points], [point[3] for point in points]
    room = 0.06 * (max(highs) - min(lows) or 1.0)
    axes.set(xlim=(min(across) / 30, max(across) * 300), ylim=(min(*lows, 0) - room, max(*highs, 1) + room))
    for height, said in ((0, "as good as the best choice"), (1, "no gain")):
        axes.axhline(height, color=MUTED, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
        axes.text(0.995, height, said, transform=axes.get_yaxis_transform(), ha="right", va="bottom", color=MUTED, fontsize=8)
    axes.vlines(across, lows, highs, color=INK, linewidth=1)
    axes.scatter(across, [point[1] for point in points], s=24, color=INK, zorder=3)
    _cost_axis(axes, costs)
    seeds = ", ".join(map(str, settings["beds"]))
    axes.set_ylabel(f"regret by NLL of the top {settings['top_k']}, mean and {settings['confidence']:.0%} interval over targets")
    title = f"Regret of selectors against their cost: playground, seed {seeds}\n"
    title += "The bed was reshaped after a look at instruction and random: their contrast is no finding"
    axes.set_title(title, loc="left", fontsize=10)
    return figure, write_labels(axes, names, points)


def scatter(summary: Mapping[str, Any]) -> str:
    """The figure as SVG, equal bytes for equal data."""
    with mpl.rc_context(STYLE):
        figure, _ = draw(summary)
        stream = StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
