"""Figures as inline SVG: equal bytes for equal data, colours taken from the page, so that they follow dark and light."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 4.4  # inches; about the width of a phone's page, two stand side by side on a desktop
NARROW = 3.2  # inches; three stand side by side on a desktop
STYLE = {
    "svg.hashsalt": "instune",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
}
# matplotlib draws in these stand-ins, the page's stylesheet says what they are
INK, MUTED, RULE, ACCENT, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
PAGE_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
}


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a mean with its interval, or without one."""

    label: str
    mean: float
    low: float | None
    high: float | None
    value: str  # as printed beside the row
    colour: str


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an `<svg>` element for an HTML page.

    Args:
        name: prefix of every id, unique on the page.
        alt: the figure in words.
    """
    stream = StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (id|xlink:href|clip-path)="(#|url\(#)?', lambda found: f"{found[0]}{name}-", svg)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1).strip()


def _axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.tick_params(colors=MUTED, length=0)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    return figure, axes


def _mean(axes: Axes, height: float, dot: Dot, size: float, label: str | None = None) -> None:
    if dot.low is not None and dot.high is not None:
        axes.plot([dot.low, dot.high], [height, height], color=dot.colour, solid_capstyle="butt")
    axes.plot([dot.mean], [height], "o", color=dot.colour, markersize=size, markeredgewidth=0, clip_on=False, label=label)


def _rows_of_points(axes: Axes, dots: Sequence[Dot], rows: Sequence[str], title: str) -> None:
    """The axes around rows of means: points from 0 that hold every interval, the first row on top."""
    ends = [end for dot in dots for end in (dot.mean, dot.low, dot.high) if end is not None]
    axes.set_xlim(min(0.0, 1.06 * min(ends)), max(10.0, 1.06 * max(ends)))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", labelcolor=INK, pad=7)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("points", color=MUTED)
    axes.set_title(title, loc="left", color=INK, fontsize=11)


def dot_plot(dots: Sequence[Dot], *, name: str, title: str) -> str:
    """Means in points (0 to 100) with their intervals, one row each, the first on top."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(0.95 + 0.3 * len(dots))
        for place, dot in enumerate(dots):
            _mean(axes, place, dot, 6.5)
            axes.text(1.02, place, dot.value, color=INK, va="center", transform=axes.get_yaxis_transform())
        _rows_of_points(axes, dots, [dot.label for dot in dots], title)
        words = "; ".join(f"{dot.label} {dot.value}".replace("\n", " ") for dot in dots)
        return inline_svg(figure, name, f"{title} in points, with intervals: {words}.")


def pair_plot(pairs: Sequence[tuple[str, Dot, Dot]], *, name: str, title: str) -> str:
    """Two means in every row, in points (0 to 100) with their intervals, the first row on top.

    Args:
        pairs: what the row is about and its two means, the upper first; their labels are the same in every row.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes(1.15 + 0.42 * len(pairs))
        for place, (_, upper, lower) in enumerate(pairs):
            _mean(axes, place - 0.14, upper, 5, None if place else upper.label)
            _mean(axes, place + 0.14, lower, 5, None if place else lower.label)
        _rows_of_points(axes, [dot for _, *dots in pairs for dot in dots], [row for row, _, _ in pairs], title)
        figure.legend(loc="outside lower left", ncols=2, frameon=False, labelcolor=INK, handlelength=1.4)
        words = "; ".join(f"{row}: {', '.join(f'{dot.label} {dot.value}' for dot in dots)}" for row, *dots in pairs)
        return inline_svg(figure, name, f"{title} in points, with intervals: {words}.")


def curve_plot(curves: Mapping[str, Sequence[tuple[int, float]]], *, name: str, title: str) -> str:
    """Curves over steps in one panel, their last values named.

    Args:
        curves: name -> (step, value) pairs in order of the steps, at least one pair each.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes(2.2 + 0.22 * -(-len(curves) // 2))
        for colour, (label, points) in zip((ACCENT, SECOND, INK, MUTED) * len(curves), curves.items(), strict=False):
            steps, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 20 else ""
            axes.plot(steps, values, marker=marker, markersize=4, color=colour, label=f"{label}, last {values[-1]:.4g}")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.set_xlabel("step", color=MUTED)
        axes.set_title(title, loc="left", color=INK, fontsize=11)
        figure.legend(loc="outside lower left", ncols=2, frameon=False, labelcolor=INK, handlelength=1.4)
        words = "; ".join(
            f"{label} goes from {points[0][1]:.4g} at step {points[0][0]} to {points[-1][1]:.4g} at step {points[-1][0]}"
            for label, points in curves.items()
        )
        return inline_svg(figure, name, f"{title}: {words}.")


def length_plot(counts: Mapping[str, Sequence[int]], *, name: str, title: str) -> str:
    """Two histograms over lengths on one logarithmic axis, the first filled, the second an outline.

    Args:
        counts: name -> counts of lengths of 0, 1, 2 to 3, 4 to 7 and so on, equally many; at least one count is positive.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes(2.3, NARROW)
        bins = max(len(values) for values in counts.values())
        places = range(-1, bins)  # the border at place p is the length 2 ** p; lengths of 0 stand left of 0
        words = []
        for (label, values), filled in zip(counts.items(), (True, False), strict=True):
            shares = [100 * value / sum(values) for value in values]
            if filled:
                axes.stairs(shares, places, fill=True, color=MUTED, alpha=0.4, linewidth=0, label=label)
            else:
                axes.stairs(shares, places, color=ACCENT, linewidth=1.6, label=label)
            words.append(f"{label}: {_shares_in_words(shares)}")
        ticks = range(0, bins, -(-bins // 5))
        axes.set_xticks([-0.5, *ticks], ["0", *(str(2**tick) for tick in ticks)])
        axes.set_xlim(-1.05, bins - 0.95)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_ylabel("% of examples", color=MUTED)
        axes.set_title(title, loc="left", color=INK, fontsize=11)
        figure.legend(loc="outside lower left", frameon=False, labelcolor=INK, handlelength=1.4)
        return inline_svg(figure, name, f"{title}, share of examples by length. {'; '.join(words)}.")


def _shares_in_words(shares: Sequence[float]) -> str:
    """The shares that are not 0, as `12 % from 4 to 7`."""
    said = []
    for place, share in enumerate(shares):
        low, high = 2**place // 2, max(2**place - 1, 0)
        if share > 0:
            said.append(f"{share:.0f} % {'of' if low == high else 'from'} {low}{'' if low == high else f' to {high}'}")
    return ", ".join(said)
