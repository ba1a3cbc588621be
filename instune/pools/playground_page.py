"""The playground's page: what is in it and which answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean
from typing import Any

from instune.pools.playground_families.spec import TaskSpec

HEAD = """# Playground: a synthetic test bed with known answers

Generated from `playground.seed`. It is no benchmark: its texts come from templates, so its scores tell nothing about natural
language. It is there because one knows which training tasks teach which test task, and can see whether a selector finds them.

* `tasks/*.json`, `splits/default/*.txt`: the layout of a Super-NaturalInstructions clone; the same reader reads both.
* `known_answers.json`: families, `teaches` (test task: its training tasks), and the two kinds of pairs below.

A family (the task's first category) is a skill together with the form of its answer. Tasks of a family differ in domain, names
and wording. A test task shares no instance, no wording and no list of names with any training task. Its own family is the only
one that teaches its skill. Task numbers follow a hash of the name and tell nothing of the family.

Which families have test tasks was decided by what a model of 135 million parameters learns in minutes and carries into a new
domain (finding, quoting and looking up are; comparing, classifying and reformatting are not), before any selector was tuned. But
the bed was reshaped after a look at what `instruction` and `random` select, a visible contrast between the two being one of the
reasons, so it is no evidence for a selector. Most test tasks have a training task that is alike in words and unlike in skill;
each has one that is unlike in words and alike in skill.

"""


def _words(text: str) -> int:
    return len(text.split())


def _family_rows(answers: Mapping[str, Any], families: Mapping[str, tuple[TaskSpec, ...]]) -> list[str]:
    rows = ["## Families", "", "| family | training tasks | test tasks | words of a wording, mean |", "|---|---|---|---|"]
    for name in sorted(families):
        split = answers["families"][name]
        length = mean(_words(wording) for spec in families[name] for wording in spec.wordings)
        rows.append(f"| {name} | {len(split['train'])} | {len(split['test'])} | {length:.0f} |")
    return [*rows, ""]


def _pairs(title: str, remark: str, pairs: list[list[str]]) -> list[str]:
    return [
        f"## {title}",
        "",
        remark,
        "",
        "| test task | training task |",
        "|---|---|",
        *(f"| {a} | {b} |" for a, b in pairs),
        "",
    ]


def page(answers: Mapping[str, Any], families: Mapping[str, tuple[TaskSpec, ...]], ids: Mapping[str, str]) -> str:
    """The page as Markdown."""
    lines = _family_rows(answers, families)
    lines += ["## Which training tasks teach which test task", "", "| test task | family | training tasks |", "|---|---|---|"]
    for name in sorted(families):
        lines += [f"| {task} | {name} | {', '.join(answers['teaches'][task])} |" for task in answers["families"][name]["test"]]
    lines.append("")
    lines += _pairs(
        "Like wording, unlike skill", "A search by words finds these; they do not help.", answers["like_wording_unlike_skill"]
    )
    lines += _pairs(
        "Unlike wording, like skill", "A search by words may miss these; they help.", answers["unlike_wording_like_skill"]
    )
    return HEAD + "\n".join(lines)
