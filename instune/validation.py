"""What pydantic finds wrong with a value, a line for each key."""

from __future__ import annotations

from pydantic import ValidationError

from instune.shown import shown

MOST = 20  # lines


def problems_of(name: str, error: ValidationError, *, way_out: str = "") -> list[str]:
    """One line per problem with key, value and what is allowed; a check of ours speaks for itself.

    Args:
        name: of the whole value, in front of each key; empty where it has none.
        way_out: for who has to add a key.
    """
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in (name, *item["loc"]) if part != "")
        key = key if key.isprintable() and len(key) < 200 else shown(key)
        if item["type"] == "extra_forbidden":
            problems.append(f"{key}: unknown key. Remove it, or see the section's class for the keys there are.")
        elif item["type"] == "missing":
            problems.append(f"{key}: missing. {way_out}".strip())
        elif item["type"] == "value_error":  # a check of ours: its message names key and value
            message = item["msg"].removeprefix("Value error, ")
            own = f"{key.rpartition('.')[2]}: "
            problems.append(f"{key}: {message.removeprefix(own)}")
        else:
            problems.append(f"{key}: {shown(item['input'])} is not allowed. {item['msg']}.")
    return problems


def listed(problems: list[str]) -> str:
    """The problems' number and the first of them, a line each."""
    more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
    return f"{len(problems)} problem(s)\n" + "\n".join(f"  {line}" for line in [*problems[:MOST], *more])
