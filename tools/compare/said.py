"""How a comparison's numbers and verdicts are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instune.report.numbers import METRICS

ALPHA = 0.05
SHOWN = 3  # arms that the verdict names, of the better and of the worse ones


def number(metric: str, value: float | None, *, signed: bool = False) -> str:
    """NLL with three decimals; other scores are shares, in points with one decimal; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:+.3f}" if metric == "nll" else f"{100 * value:+.1f}"
    text = text[1:] if float(text) == 0 or (text[0] == "+" and not signed) else text
    return text.replace("-", "−")


def interval(metric: str, found: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """Mean and interval, `−0.120 [−0.200, −0.040]`, or the mean alone where there is none."""
    if found is None:
        return "–"
    mean = number(metric, found["mean"], signed=signed)
    if found["low"] is None:
        return mean
    return f"{mean} [{number(metric, found['low'], signed=signed)}, {number(metric, found['high'], signed=signed)}]"


def p_value(found: Mapping[str, Any] | None) -> str:
    """The corrected p-value, `p 0.012`; empty where there is none."""
    if found is None or found.get("p_holm") is None:
        return ""
    return "p < 0.001" if found["p_holm"] < 0.001 else f"p {found['p_holm']:.3f}"


def way(found: Mapping[str, Any] | None, better: str) -> str:
    """`better` or `worse` where the corrected test shows a difference, else `unclear`."""
    if found is None or found.get("p_holm") is None or found["p_holm"] >= ALPHA:
        return "unclear"
    return "better" if (found["mean"] < 0) == (better == "lower") else "worse"


def tested(found: Mapping[str, Any] | None, better: str) -> str:
    """The corrected p-value, with the direction where the test shows a difference: `p 0.012, better`."""
    shown = way(found, better)
    return p_value(found) + (f", {shown}" if shown != "unclear" else "")


def unit(metric: str) -> str:
    """What differences are counted in."""
    return "nats per token" if metric == "nll" else "points"


def smallest(metric: str, found: Mapping[str, Mapping[str, Any] | None]) -> str:
    """The range of the differences that a test finds with a power of 80 %, as a sentence; empty where nothing is tested."""
    known = [one for one in found.values() if one is not None]
    sizes = sorted(one["smallest_effect"] for one in known if one["smallest_effect"] is not None)
    if not sizes:
        return ""
    ends = list(dict.fromkeys(number(metric, size) for size in (sizes[0], sizes[-1])))
    tests = "This test finds" if len(sizes) == 1 else "These tests find"
    return f"{tests} a true difference of {' to '.join(ends)} {unit(metric)} four times out of five, with few seeds less often."


def same(found: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Whether every difference that is there is 0, and surely so."""
    known = [one for one in found.values() if one is not None]
    return bool(known) and all(one["low"] == one["high"] == 0 for one in known)


def verdict(metric: str, better: str, found: Mapping[str, Mapping[str, Any] | None], against: str) -> str:
    """What the corrected tests show in one metric, as one sentence.

    Args:
        found: arm or effect -> its difference with `p_holm`; None where there is none.
        against: what the differences are of, as `of 7 effects`, `to random`.
    """
    what = METRICS.get(metric, metric)
    tested = {name: one for name, one in found.items() if one is not None and one["p_holm"] is not None}
    if not tested:
        return f"{what}: nothing can be tested {against}; that needs two target tasks or more."
    if same(found):
        return f"{what}, {against}: the same everywhere, so it tells nothing."
    shown = [name for name, one in sorted(tested.items(), key=lambda item: item[1]["p_holm"]) if way(one, better) != "unclear"]
    if not shown:
        return f"{what}, {against}: no difference shown, in {len(tested)} {'test' if len(tested) == 1 else 'tests'}."
    parts = []
    for direction in ("better", "worse"):
        own = [name for name in shown if way(tested[name], better) == direction]
        named = [f"{name} ({interval(metric, tested[name], signed=True)})" for name in own[:SHOWN]]
        more = f" and {len(own) - SHOWN} more" if len(own) > SHOWN else ""
        parts += [f"{direction}: {', '.join(named)}{more}"] if own else []
    rest = len(tested) - len(shown)
    parts += [f"no difference shown: the other {rest}"] if rest else []
    return f"{what}, {against}; {'; '.join(parts)}."
