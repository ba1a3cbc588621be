"""The figures of a study of loss masks as SVG, equal bytes for equal data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.masks.study import line
from tools.quality.plot import DPI, INK, MUTED, STYLE

TITLES = {
    "train_nll": "Training rows: NLL per output token",
    "held_out_nll": "Held-out rows: NLL per output token",
    "bleu_4": "Training instructions: BLEU-4 of the answer",
}
PANEL, ROW = 3.6, 0.42  # inches: width of a panel, height of an arm


def _bar(axes: Axes, x: float, y: float, said: Mapping[str, Any], *, upright: bool) -> None:
    """A mean with its interval."""
    if said["low"] is not None:
        draw, place = (axes.vlines, x) if upright else (axes.hlines, y)
        draw(place, said["low"], said["high"], color=INK, linewidth=1.2)
    axes.scatter([x], [y], s=26, color=INK, zorder=3)


def _minus(arms: Mapping[str, Any], arm: str, measure: str, baseline: str) -> tuple[dict[str, Any], list[float]]:
    """An arm's paired difference to the baseline with its interval, and that of each seed that both have; 0 of the baseline."""
    own, other = (arms[one]["measures"][measure] for one in (arm, baseline))
    seeds = [value - other["by_seed"][seed] for seed, value in own["by_seed"].items() if seed in other["by_seed"]]
    return own.get("minus_baseline", {"mean": 0.0, "low": None, "high": None}), seeds if arm != baseline else []


def _by_arm(axes: Axes, arms: Mapping[str, Any], measure: str, baseline: str) -> None:
    """Differences to the baseline, arms from top to bottom; single seeds as small dots below."""
    for place, arm in enumerate(arms):
        said, seeds = _minus(arms, arm, measure, baseline)
        _bar(axes, said["mean"], place, said, upright=False)
        axes.scatter(seeds, [place + 0.24] * len(seeds), s=6, color=MUTED, linewidths=0)
    axes.axvline(0, color=MUTED, linewidth=0.6)
    axes.set_yticks(range(len(arms)), list(arms))
    axes.set_ylim(len(arms) - 0.4, -0.6)
    mean = arms[baseline]["measures"][measure]["mean"]
    axes.set_title(f"{TITLES[measure]},\nminus that of {baseline}, {mean:.3g}", loc="left", fontsize=9)


def _by_weight(axes: Axes, arms: Mapping[str, Any], weights: Mapping[str, float], baseline: str) -> None:
    """Held-out NLL over the weight of the instruction, which stands at equal distances, as differences to the baseline."""
    order = sorted(weights, key=weights.__getitem__)
    found = [_minus(arms, arm, "held_out_nll", baseline)[0] for arm in order]
    for place, said in enumerate(found):
        _bar(axes, place, said["mean"], said, upright=True)
    axes.plot(range(len(order)), [said["mean"] for said in found], color=MUTED, linewidth=0.8)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_xticks(range(len(order)), [f"{weights[arm]:g}" for arm in order])
    axes.set_title(f"Held-out NLL by the instruction's weight,\nminus that of {baseline}", loc="left", fontsize=9)


def _gain(axes: Axes, found: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    """Gain over a logarithmic axis with its least squares line."""
    points = [(one[key], one["mean"]) for one in found]
    for x, one in zip((x for x, _ in points), found, strict=True):
        _bar(axes, x, one["mean"], one, upright=True)
    axes.set_xscale("log")
    axes.set_xticks([x for x, _ in points], [f"{x:.3g}" for x, _ in points])
    axes.minorticks_off()
    axes.axhline(0, color=MUTED, linewidth=0.6)
    title = f"IM's gain by {label}"
    if fitted := line(points):
        ends = [min(x for x, _ in points), max(x for x, _ in points)]
        axes.plot(ends, [fitted[0] * math.log(x) + fitted[1] for x in ends], color=MUTED, linewidth=0.8)
        title += f"\ny = {fitted[0]:.3g} ln x {fitted[1]:+.3g}"
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel(label)
    axes.set_ylabel("NLL under IT minus under IM")


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(PANEL * panels, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, number) for number in range(1, panels + 1)]


def _svg(figure: Figure) -> str:
    stream = StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def arms_svg(arms: Mapping[str, Any], weights: Mapping[str, float], baseline: str) -> str:
    """Losses and memorization by arm, and held-out loss by the instruction's weight, as paired differences to the baseline.

    What tasks differ in, many times what arms do, is in no difference. An arm without a seed of the baseline's is not drawn.

    Args:
        arms: of `study.summarize`, the baseline among them.
        weights: arm -> weight of the instruction, of the arms that differ in it alone.
    """
    arms = {arm: one for arm, one in arms.items() if arm == baseline or "minus_baseline" in one["measures"]["held_out_nll"]}
    with mpl.rc_context(STYLE):
        shown = [measure for measure in TITLES if all(measure in one["measures"] for one in arms.values())]
        weighted = {arm: weight for arm, weight in weights.items() if arm in arms}
        figure, axes = _figure(len(shown) + (len(weighted) > 1), max(2.6, 1.2 + ROW * len(arms)))
        for number, (place, measure) in enumerate(zip(axes, shown, strict=False)):
            _by_arm(place, arms, measure, baseline)
            place.tick_params(labelleft=number == 0)
        if len(weighted) > 1:
            _by_weight(axes[-1], arms, weighted, baseline)
        return _svg(figure)


def gains_svg(by_ratio: Sequence[Mapping[str, Any]], by_rows: Sequence[Mapping[str, Any]]) -> str:
    """Both sides of the paper's Fig. 2, from `study.gains`."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(2, 3.2)
        _gain(axes[0], by_ratio, "ratio", "instruction tokens per output token")
        _gain(axes[1], by_rows, "rows", "training rows")
        return _svg(figure)
