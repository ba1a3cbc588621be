"""P3 datasets that are there raw and rendered, and how our templates render them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from instune.pools.problems import Problems
from instune.pools.promptsource import PromptTemplate, apply, parse_templates
from instune.pools.rows import TABLES, read_rows

PAIRS = Path("../shared/data/p3_pairs")
RENDERED = Path("../shared/data/p3_rendered_t0")
END = "\ue010"  # of a target; a private-use character, which no data holds
RANDOM = re.compile(r"range\((\d+),\s*(\d+)\)\s*\|\s*choice")


@dataclass(frozen=True)
class Source:
    """A dataset that is there raw and rendered.

    Attributes:
        key: fields that tell its rows apart.
        fields: the row's texts.
        labels: values of `label`; None where no template reads such a column.
    """

    rendered: str
    key: tuple[str, ...]
    fields: tuple[str, ...]
    labels: tuple[int | str | None, ...]


SOURCES = {
    "ag_news": Source("ag_news", ("text",), ("text",), (0, 1, 2, 3)),
    "glue__qqp": Source("glue_qqp", ("question1", "question2"), ("question1", "question2"), (0, 1)),
    "imdb": Source("imdb", ("text",), ("text",), (0, 1)),
    "social_i_qa": Source(
        "social_i_qa", ("context", "question"), ("context", "question", "answerA", "answerB", "answerC"), ("1", "2", "3")
    ),
    "trec": Source("trec", ("text",), ("text",), (None,)),
    "yelp_review_full": Source("yelp_review_full", ("text",), ("text",), (0, 1, 2, 3, 4)),
}
# What explains a difference; each is shown by making the change and finding the rendering equal.
NO_LABEL = "published target empty: equal where the row has no such label column"
REORDERED = "published target empty and choices in another order than now: equal in that order, without the label column"
DRAWN = "the template draws at random, without a seed: equal for one of its draws"
# The order in which every published trec prompt lists the coarse classes; in templates.yaml Abbreviation is the first.
TREC_CHOICES = "Description ||| Entity ||| Abbreviation ||| Person ||| Quantity ||| Location"


@dataclass(frozen=True)
class Rendering:
    """A prompt and a target, both stripped, and the template's name as published."""

    template: str
    prompt: str
    target: str


@cache
def templates_of(pair: str) -> dict[str, PromptTemplate]:
    """The templates by the name that the published rows give them."""
    _, found = parse_templates((PAIRS / pair / "templates.yaml").read_bytes())
    return {re.sub(r"[?/]", "", template.name).replace(" ", "_"): template for template in found}


def raw_rows(pair: str) -> Iterator[dict[str, Any]]:
    """The raw rows of the sample."""
    problems = Problems(PAIRS, strict=True)
    for path in sorted(path for path in (PAIRS / pair).iterdir() if re.search(f"{TABLES}$", path.name)):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from (row for _, row in read_rows(file, path.name, problems))


def published_rows(pair: str) -> list[Rendering]:
    """The published renderings, ends stripped as promptsource strips them."""
    with gzip.open(RENDERED / f"{SOURCES[pair].rendered}.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    return [Rendering(row["template"], row["prompt"].strip(), row["completion"].strip()) for row in rows]


def render(name: str, template: PromptTemplate, row: dict[str, Any]) -> Rendering:
    """As `apply` renders it, an empty target allowed."""
    prompt, target, _ = apply(replace(template, jinja=template.jinja + END), row)
    return Rendering(name, prompt, target.removesuffix(END).rstrip())


def variants(pair: str, name: str) -> list[tuple[str, PromptTemplate]]:
    """The template, reason "equal", and what else may have made the published rendering."""
    template = templates_of(pair)[name]
    found = [("equal", template)]
    if pair == "trec":
        found += [(NO_LABEL, template), (REORDERED, replace(template, answer_choices=TREC_CHOICES))]
    if drawn := RANDOM.search(template.jinja):
        numbers = range(int(drawn[1]), int(drawn[2]))
        found += [(DRAWN, replace(template, jinja=RANDOM.sub(str(number), template.jinja))) for number in numbers]
    return found


def renderings(pair: str, name: str, row: dict[str, Any]) -> list[tuple[str, Rendering]]:
    """The row by every variant; the first is ours as it is."""
    bare = {field: value for field, value in row.items() if not field.endswith("_label")}
    return [(reason, render(name, one, bare if reason in (NO_LABEL, REORDERED) else row)) for reason, one in variants(pair, name)]
