"""What was wrong with a raw pool: stop at the first bad record, or skip, count by reason and remember the first of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from instune.errors import InputError

WAY_OUT = "Mend it, or set ingest.strict: false to skip such records and count them in the data card."


class BadRecord(Exception):
    """A record that cannot be used.

    Attributes:
        reason: field and what is allowed, the same words for every such record: the data card counts by it.
        found: the value, shown in a message and never counted by.
    """

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = found


class Problems:
    """Counts per reason of what a pool leaves out.

    Attributes:
        folder: where the raw pool lies; places are relative to it.
        counts: reason -> number of records.
        first: reason -> place of the first such record.
    """

    def __init__(self, folder: Path, *, strict: bool) -> None:
        self.folder = folder
        self.strict = strict
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def leave_out(self, reason: str, place: str) -> None:
        """Count what the pool's own rules leave out; nobody has to mend it."""
        self.counts[reason] += 1
        self.first.setdefault(reason, place)

    def bad(self, problem: BadRecord, place: str) -> None:
        """Count a record that somebody should mend.

        Raises:
            InputError: in strict mode, with file, record, field, value and way out.
        """
        if self.strict:
            found = f" Found: {problem.found}." if problem.found else ""
            raise InputError(f"{self.folder}: {place}: {problem.reason}.{found}\n  {WAY_OUT}")
        self.leave_out(problem.reason, place)
