"""P3, raw rows rendered by promptsource templates: https://github.com/bigscience-workshop/promptsource (arXiv 2202.01279).

A folder per dataset with `templates.yaml` and tables of rows beside it (JSON lines, a JSON list, Parquet, or a Hub dataset
pinned in a file as in hub_rows.py; not CSV, whose cells are text where templates need numbers):

    dataset: super_glue
    subset: copa
    templates:
      0edd8660-...: !Template {name: exercise, jinja: "...", ...}  (see promptsource.py)

    {"premise": "The host cancelled the party.", "choice1": "She was certain she had the flu.", "choice2": "She worried ...",
     "question": "cause", "idx": 0, "label": 0}

Each dataset is a task and each template one of its wordings; a wording's text is the template with the word `text` for each of
its variables. The rendered text holds instruction and input in one, so an example carries it as a message, and the instruction is
not said again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.pools.files import content, walk
from instune.pools.held_out import check_held_out
from instune.pools.problems import BadRecord, Problems
from instune.pools.promptsource import PromptTemplate, apply, drawn_number, parse_templates, wording
from instune.pools.rows import TABLES, read_rows
from instune.records import Example, Message, Metric, Task

GENERATED = ("BLEU", "ROUGE")


class P3(Section):
    """A pool of raw rows and promptsource templates."""

    reader: Literal["p3"]
    examples_per_task: PositiveInt  # at most so many rendered examples of each dataset
    templates: Literal["one_per_row", "all"]  # one_per_row: drawn by the row's place, as in INSTA; all: as in T0
    held_out: list[str]  # datasets of the test split, such as super_glue/copa; rendered by templates of the original task only


def _datasets(folder: Path, problems: Problems) -> dict[str, tuple[str, list[PromptTemplate]]]:
    found = {}
    for path, file in walk(folder, r"templates\.yaml", problems):
        try:
            found[path.removesuffix("templates.yaml")] = parse_templates(content(file))
        except BadRecord as problem:
            problems.bad(problem, path)
    return found


def _rows(folder: Path, pattern: str, problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, file in walk(folder, pattern, problems):
        if path.lower().removesuffix(".gz").endswith(".csv"):
            problems.bad(BadRecord("CSV: its cells are text, and templates need numbers; bring JSONL or Parquet"), path)
        else:
            yield from read_rows(file, path, problems)


def _metric(examples: list[Example], templates: list[PromptTemplate]) -> Metric:
    if all(example.choices for example in examples):
        return "choice"
    generated = any(metric in GENERATED for template in templates for metric in template.metrics)
    return "rouge_l" if generated else "exact_match"


def render_rows(
    task_id: str,
    rows: Iterator[tuple[str, dict[str, Any]]],
    templates: list[PromptTemplate],
    *,
    one_per_row: bool,
    limit: int,
    problems: Problems,
) -> list[Example]:
    """At most `limit` examples; a template that does not apply to a row is counted by its name, in either mode."""
    examples: list[Example] = []
    for place, row in rows:
        drawn = [drawn_number(task_id + place) % len(templates)] if one_per_row else range(len(templates))
        for index in drawn:
            try:
                prompt, target, choices = apply(templates[index], row)
            except BadRecord as problem:
                problems.leave_out(f"{task_id}: {problem.reason}", place)
                continue
            messages = (Message("user", prompt), Message("assistant", target))
            example_id = f"{task_id}:{place}:{index}"
            examples.append(Example(task_id, example_id, prompt, (target,), choices, index, messages))
        if len(examples) >= limit:
            break
    return examples[:limit]


def read(
    folder: Path, *, pool: str, problems: Problems, examples_per_task: int, templates: str, held_out: list[str]
) -> Iterator[tuple[Task, list[Example]]]:
    """One task per folder with templates, named `<pool>:<dataset>[:<subset>]`.

    Raises:
        InputError: no dataset has a name in `held_out`.
    """
    datasets = _datasets(folder, problems)
    check_held_out(pool, held_out, {dataset for dataset, _ in datasets.values()})
    for place, (dataset, found) in sorted(datasets.items()):
        split = "test" if dataset in held_out else "train"
        usable = [template for template in found if split == "train" or template.original_task]
        task_id = f"{pool}:{dataset.replace('/', ':')}"
        if not usable:
            problems.leave_out("dataset without usable template", place)
            continue
        rows = _rows(folder, rf"{re.escape(place.rstrip('/'))}/[^/]+{TABLES}" if place else rf"[^/]+{TABLES}", problems)
        examples = render_rows(
            task_id, rows, usable, one_per_row=templates == "one_per_row", limit=examples_per_task, problems=problems
        )
        wordings = tuple(wording(template) for template in usable)
        metric = _metric(examples, usable)
        yield Task(task_id, pool, dataset, wordings[0], wordings, metric=metric, split=split), examples
