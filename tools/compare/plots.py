"""Dots with intervals as inline SVG, colours taken from the page; a row's name stands above it, so that a phone has room."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from instune.report.plots import INK, MUTED, RULE, STYLE, WIDTH, Dot, inline_svg

LINE, BETWEEN = 0.185, 1.85  # inches: of a line of text; lines: from a name to the next row's
LETTERS = 36  # of a name in one line, beside the value


def rows_plot(dots: Sequence[Dot], *, name: str, title: str, axis: str, zero: bool) -> str:
    """Means with their intervals, one row each, the first on top.

    Args:
        axis: what the horizontal axis counts.
        zero: draw a line at 0, for differences.
    """
    names = [wrap(dot.label, LETTERS) or [""] for dot in dots]
    tops = [sum(len(lines) - 1 + BETWEEN for lines in names[:place]) for place in range(len(names) + 1)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, LINE * tops[-1] + 0.85), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        across = axes.get_yaxis_transform()
        for dot, lines, top in zip(dots, names, tops, strict=False):
            place = top + len(lines) + 0.05
            if dot.low is not None and dot.high is not None:
                axes.plot([dot.low, dot.high], [place, place], color=dot.colour, solid_capstyle="butt")
            axes.plot([dot.mean], [place], "o", color=dot.colour, markersize=6, markeredgewidth=0, clip_on=False)
            axes.text(0, top + len(lines) - 0.55, "\n".join(lines), color=INK, va="bottom", transform=across, linespacing=1.15)
            axes.text(1, top + len(lines) - 0.55, dot.value, color=dot.colour, va="bottom", ha="right", transform=across)
        if zero:
            axes.axvline(0, color=RULE, linewidth=1.2, zorder=0)
        axes.set_ylim(tops[-1], -0.6)
        axes.set_yticks([])
        axes.margins(x=0.03)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(colors=MUTED, length=0)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(RULE)
        axes.set_xlabel(axis, color=MUTED)
        axes.set_title(title, loc="left", color=INK, fontsize=11)
        words = "; ".join(f"{dot.label} {dot.value}" for dot in dots)
        return inline_svg(figure, name, f"{title}, {axis}, with intervals: {words}.")
