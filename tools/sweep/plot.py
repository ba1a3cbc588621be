"""The summary of a sweep as an SVG: arms on y, a panel per metric, mean and interval, single seeds as small dots."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.quality.plot import DPI, INK, MUTED, STYLE

WIDTH, ROW = 9.0, 0.4  # inches: of the figure, of an arm
SEEDS, ABOVE = 0.22, 0.3  # rows that single seeds stand below the mean, and differences above it
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
BEFORE = "before fine-tuning"


def _panel(axes: Axes, rows: list[tuple[str, Mapping[str, Any] | None]], metric: str, better: str, baseline: str) -> None:
    """One metric; `rows` from top to bottom."""
    for place, (name, measure) in enumerate(rows):
        if measure is None:
            axes.text(0.5, place, "not run", transform=axes.get_yaxis_transform(), ha="center", va="center", color=MUTED)
            continue
        color = MUTED if name == BEFORE else INK
        if measure["low"] is not None:
            axes.hlines(place, measure["low"], measure["high"], color=color, linewidth=1.2)
        axes.scatter(measure["mean"], place, s=28, color=color, zorder=3)
        seeds = list(measure["by_seed"].values())
        if len(seeds) > 1:
            axes.scatter(seeds, [place + SEEDS] * len(seeds), s=6, color=color, alpha=0.7, linewidths=0, zorder=2)
        if minus := measure.get("minus_baseline"):
            said = f"{minus['mean']:+.3f}"
            said += f" [{minus['low']:+.3f}, {minus['high']:+.3f}]" if minus["low"] is not None else ""
            where = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
            axes.text(1, place - ABOVE, said, fontsize=7, color=MUTED, bbox=PLATE, **where)
        if name == baseline:
            axes.axvline(measure["mean"], color=MUTED, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.06)
    axes.set_xlabel(f"{metric} ({better} is better)")


def draw(summary: Mapping[str, Any]) -> Figure:
    """The figure.

    Args:
        summary: the content of reports/sweeps/<name>.json.
    """
    settings, arms = summary["settings"], summary["arms"]
    metrics, baseline = settings["metrics"], settings["baseline"]
    figure = Figure(figsize=(WIDTH, 1.5 + ROW * (len(settings["arms"]) + 1)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (metric, better) in enumerate(metrics.items(), start=1):
        axes = figure.add_subplot(1, len(metrics), number)
        rows = [(arm, arms[arm]["measures"].get(metric)) for arm in settings["arms"]]
        rows.append((BEFORE, summary["base"]["measures"].get(metric)))
        _panel(axes, rows, metric, better, baseline)
        if number > 1:
            axes.tick_params(labelleft=False)
    counts = f"{len(settings['targets'])} target tasks, seeds {', '.join(map(str, settings['seeds']))}"
    missing = f"; INCOMPLETE, {len(summary['missing'])} experiments missing" if summary["missing"] else ""
    title = f"Sweep {summary['sweep']}: {counts}{missing}\n" + fill(summary["about"], 110)
    share = f"{settings['confidence']:.0%}"
    title += f"\nMean and {share} interval over tasks and seeds; small dots: single seeds; dashed: {baseline}"
    title += "; in figures: paired difference to it"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def svg(summary: Mapping[str, Any]) -> str:
    """The figure as SVG, equal bytes for equal data."""
    with mpl.rc_context(STYLE):
        stream = StringIO()
        draw(summary).savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
