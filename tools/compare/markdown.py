"""The comparison as Markdown, for a terminal or a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 20  # tasks that are listed where there are no categories
MISSING = 10  # experiments that are named


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or " "


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(map(_cell, line)) + " |" for line in lines), ""]


def _targets(part: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    level = next(iter(part["targets"]))
    rows = part["targets"][level]
    if level == "task" and len(rows) > LONGEST:
        return []
    texts = [
        [
            row["target"],
            *(cell["text"] + (f", {cell['p']}, {cell['way']}" if cell["way"] != "unclear" else "") for cell in row["cells"]),
        ]
        for row in rows
    ]
    return _table([f"{part['name']} by {level}", *columns], texts)


def render(shown: Mapping[str, Any]) -> str:
    """Verdicts, effects, arms, targets, parameters that differ, duplicates, what is missing."""
    lines = [f"## {shown['title']}", "", f"{shown['about']}.", ""]
    lines += [
        f"- {part['effects_verdict']} {part['smallest_effects']}".rstrip() for part in shown["metrics"] if part["effects_verdict"]
    ]
    lines += [f"- {part['verdict']} {part['smallest']}".rstrip() for part in shown["metrics"]]
    seeds = ", ".join(map(str, shown["seeds"]))
    lines.append(
        f"- {shown['experiments']} of {shown['planned']} experiments, {shown['targets']} target tasks, seeds {seeds}; intervals "
        f"{shown['confidence']} %, tests corrected by Holm in each metric."
    )
    lines += [f"- {warning}" for warning in shown["warnings"]]
    for part in shown["metrics"]:
        if part["effects"]:
            head = [f"{part['name']}: effect", "effect and interval", "p, Holm", "found 4 times of 5"]
            lines += _table(head, [[row["effect"], *row["cells"]] for row in part["effects"]])
        head = [part["name"], "seeds", "tokens", "mean", f"minus {shown['baseline']}", "p, Holm", "found 4 times of 5"]
        lines += _table(head, [[row["arm"], *row["cells"]] for row in part["arms"]])
        lines += _targets(part, shown["columns"])
    if shown["differing"]:
        lines += _table(["parameter", *shown["columns"]], shown["differing"])
    lines += [f"- Duplicate: {sentence}" for sentence in shown["duplicates"]]
    missing = list(shown["missing"].items())
    lines += [f"- Not in here: {name}: {why}." for name, why in missing[:MISSING]]
    if len(missing) > MISSING:
        lines.append(f"- and {len(missing) - MISSING} more, which the page names.")
    return "\n".join(lines)
