"""Numbers in the reports of stages, named by their keys."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from instune.errors import InputError


def measured(report: Any, measure: str) -> float:
    """A number of a report.

    Args:
        measure: keys joined by dots; `*` takes the mean over a list or over a mapping's values.

    Raises:
        InputError: it is not there.
    """
    key, _, rest = measure.partition(".")
    if key == "*" and isinstance(report, list | dict) and report:
        values = report.values() if isinstance(report, dict) else report
        return fmean(measured(value, rest) if rest else float(value) for value in values)
    if not isinstance(report, dict) or key not in report:
        there = ", ".join(map(str, report)) if isinstance(report, dict) else type(report).__name__
        raise InputError(f"there is no {key!r} of {measure!r} in the report. There: {there}.")
    return measured(report[key], rest) if rest else float(report[key])
