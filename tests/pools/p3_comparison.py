"""Our rendering of P3 beside the published one, row by row, with a reason for every difference.

    python -m tests.pools.p3_comparison

A published row is compared with the rendering of its raw row where the sample holds that. Else its raw row is rebuilt from the
published renderings of the same row by other templates, never from its own, and rendered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import meta

from instune.pools.promptsource import ENVIRONMENT, PromptTemplate
from tests.pools import p3_sources as sources
from tests.pools.p3_sources import SOURCES, Rendering, published_rows, raw_rows, renderings

BORDER = "\ue010"  # between prompt and target; like PLACE's, a character that no data holds
PLACE = "\ue011{}\ue011"  # of a variable


def squashed(text: str) -> str:
    """The text with every run of blanks as one."""
    return " ".join(text.split())


def pattern(rendering: Rendering) -> re.Pattern[str]:
    """What matches a published rendering and captures the row's fields from it."""
    seen: set[str] = set()

    def place(part: str) -> str:
        again = part in seen
        seen.add(part)
        return f"(?P={part})" if again else f"(?P<{part}>.*?)"

    parts = re.split("\ue011(.*?)\ue011", rendering.prompt + BORDER + rendering.target)
    return re.compile("".join(place(part) if odd % 2 else re.escape(part) for odd, part in enumerate(parts)), re.DOTALL)


@cache
def patterns(pair: str, name: str) -> list[tuple[int | str | None, re.Pattern[str]]]:
    """What published renderings by the template look like, with the label that each pattern is for."""
    source = SOURCES[pair]
    places = {field: PLACE.format(field) for field in source.fields}
    labelled = [(label, made) for label in source.labels for made in renderings(pair, name, places | {"label": label})]
    return [(label, pattern(made)) for label, (_, made) in labelled]


def rebuilt(pair: str, row: Rendering) -> list[dict[str, Any]]:
    """Every raw row that could have led to a published rendering, as far as that tells it."""
    matches = [(label, made.fullmatch(row.prompt + BORDER + row.target)) for label, made in patterns(pair, row.template)]
    return [match.groupdict() | {"label": label} for label, match in matches if match]


def agreed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What all of them say."""
    return {name: value for name, value in rows[0].items() if all(row.get(name) == value for row in rows)} if rows else {}


def key_of(pair: str, row: dict[str, Any]) -> tuple[str, ...] | None:
    """What tells the raw row, blanks aside, or None where a part of it is missing."""
    key = SOURCES[pair].key
    return tuple(squashed(row[field]) for field in key) if all(field in row for field in key) else None


def variables(template: PromptTemplate) -> set[str]:
    """The columns that a template reads."""
    source = f"{template.jinja} {template.answer_choices or ''}"
    return meta.find_undeclared_variables(ENVIRONMENT.parse(source)) - {"answer_choices", "coarse_label", "fine_label"}


@dataclass(frozen=True)
class Compared:
    """A published row beside ours.

    Attributes:
        origin: where the raw row comes from: the sample, other templates' renderings, or partly the rendering itself.
        prompt: whether the prompts are equal as they are.
        target: whether the targets are.
        reason: "equal", what explains the difference, or "unexplained".
    """

    origin: Literal["sample", "rebuilt", "partly itself"]
    prompt: bool
    target: bool
    reason: str


def judge(origin: Any, row: Rendering, candidates: list[list[tuple[str, Rendering]]]) -> Compared | None:
    """The comparison with the raw row that leads to the published rendering; None where none does."""
    for made in candidates:
        for reason, rendering in made:
            if rendering == row and (row.target or reason != "equal"):
                return Compared(origin, made[0][1].prompt == row.prompt, made[0][1].target == row.target, reason)
    return None


Told = dict[tuple[str, ...] | None, dict[str, dict[str, Any]]]


def judge_rebuilt(pair: str, row: Rendering, told: Told) -> Compared:
    """The same for a row whose raw row is not in the sample; `told` holds its columns by key and template."""
    own, others = rebuilt(pair, row), {}
    for name, fields in sorted(told.get(key_of(pair, agreed(own)), {}).items()):
        if name != row.template:
            others |= fields
    if variables(sources.templates_of(pair)[row.template]) <= others.keys():
        found = judge("rebuilt", row, [renderings(pair, row.template, others)])
    else:
        found = judge("partly itself", row, [renderings(pair, row.template, fields | others) for fields in own])
    return found or Compared("rebuilt", False, False, "unexplained")


def compare(pair: str) -> list[Compared]:
    """Every published row of a dataset beside ours."""
    published, rows, told = published_rows(pair), list(raw_rows(pair)), defaultdict(dict)
    for row in published:
        fields = agreed(rebuilt(pair, row))
        if (key := key_of(pair, fields)) is not None:
            told[key][row.template] = fields
    compared = []
    for name in sorted({row.template for row in published}):
        made = [renderings(pair, name, row) for row in rows]
        prompts = {one[0][1].prompt for one in made}
        for row in (row for row in published if row.template == name):
            found = judge("sample", row, made)
            if found is None and row.prompt in prompts:
                found = Compared("sample", True, False, "unexplained")
            compared.append(found or judge_rebuilt(pair, row, told))
    return compared


Table = dict[tuple[str, str], tuple[int, int, int]]


def table(compared: list[Compared]) -> Table:
    """(origin, reason) -> number of rows, of equal prompts, of equal targets."""
    rows: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    for one in compared:
        rows[one.origin, one.reason].append(one)
    return {key: (len(ones), sum(one.prompt for one in ones), sum(one.target for one in ones)) for key, ones in rows.items()}


def show() -> dict[str, Table]:
    """Compare every dataset, print the table and return it."""
    print(f"{'dataset':18}{'raw row':14}{'rows':>6}{'prompts':>9}{'targets':>9}  reason (prompts, targets: equal as they are)")
    tables = {pair: table(compare(pair)) for pair in SOURCES}
    for pair, counts in tables.items():
        for (origin, reason), (rows, prompts, targets) in sorted(counts.items()):
            print(f"{pair:18}{origin:14}{rows:>6}{prompts:>9}{targets:>9}  {reason}")
    return tables


if __name__ == "__main__":
    show()
