"""Live curves of the folds, as TSV files that DVC plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvclive import Live


@contextmanager
def curve_log(folder: Path) -> Iterator[Callable[[str, int, dict[str, float]], None]]:
    """A function of fold, step and facts that appends to `plots/metrics/<fold>/<fact>.tsv` as the run goes."""
    try:
        with Live(str(folder), dvcyaml=False, save_dvc_exp=False, report=None) as live:

            def log(fold: str, step: int, facts: dict[str, float]) -> None:
                live.step = step
                for name, value in facts.items():
                    live.log_metric(f"{fold}/{name}", value)

            yield log
    finally:
        # DVC takes every JSON file of a plots folder for a plot, and fails on this one.
        (folder / "metrics.json").unlink(missing_ok=True)
