"""Values of unknown origin as a message shows them."""

from __future__ import annotations

import reprlib
from typing import Any

SHOWN_CHARACTERS = 80


class _Short(reprlib.Repr):
    """A few items of a few levels, whatever the value's depth and size and however often it holds the same part."""

    maxlevel, maxdict, maxlist, maxtuple, maxstring = 4, 12, 12, 12, SHOWN_CHARACTERS

    def repr_int(self, value: int, level: int) -> str:
        """The number; a large one in base 16, which has no limit of digits."""
        return str(value) if abs(value) < 10**SHOWN_CHARACTERS else hex(value)


def shown(value: Any) -> str:
    """A value as a message shows it: one line of printable ASCII, cut; of a nested value the first items of few levels."""
    if isinstance(value, str):
        text = ascii(value[: SHOWN_CHARACTERS + 1])
    else:
        text = _Short().repr(value).encode("ascii", errors="backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def first_line(error: Exception) -> str:
    """What another library says is wrong, as far as a message repeats it: the first line, cut, or the error's name."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 3 * SHOWN_CHARACTERS else text[: 3 * SHOWN_CHARACTERS] + "..."
