"""What was wrong with a raw pool: stop at the first bad record, or skip, count by reason and remember the first of each."""

from __future__ import annotations

import reprlib
from collections import Counter
from pathlib import Path
from typing import Any

from instune.errors import InputError

SHOWN_CHARACTERS = 80
WAY_OUT = "Mend it, or set ingest.strict: false to skip such records and count them in the data card."


class _Short(reprlib.Repr):
    """A few items of a few levels, whatever the value's depth and size and however often it holds the same part."""

    maxlevel, maxdict, maxlist, maxtuple, maxstring = 4, 12, 12, 12, SHOWN_CHARACTERS

    def repr_int(self, value: int, level: int) -> str:
        """The number; a large one in base 16, which has no limit of digits."""
        return str(value) if abs(value) < 10**SHOWN_CHARACTERS else hex(value)


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


def shown(value: Any) -> str:
    """A value as a message shows it: one line of printable ASCII, cut; of a nested value the first items of few levels."""
    if isinstance(value, str):
        text = ascii(value[: SHOWN_CHARACTERS + 1])
    else:
        text = _Short().repr(value).encode("ascii", errors="backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


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
