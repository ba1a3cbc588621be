"""P3 already rendered: tables with a row per dataset, template and example (arXiv 2110.08207).

Columns `dataset`, `template`, the prompt (`prompt`, `input` or `inputs_pretokenized`), the target (`completion`, `target` or
`targets_pretokenized`) and, where given, `choices` or `answer_choices`:

    {"dataset": "ag_news", "template": "classify", "prompt": "Oil and Economy Cloud Stocks' Outlook (Reuters) ... \\nWhat label
     best describes this news article?\\n", "completion": "Business"}

Of bigscience/P3 on the Hub, a file as in hub_rows.py stands for each subset that is wanted.

Each dataset is a task. The templates' texts are not there, so a wording is the template's name with spaces for underscores. The
prompt holds instruction and input in one, so an example carries it as a message, and the instruction is not said again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.pools.fields import optional_texts, text
from instune.pools.files import walk
from instune.pools.held_out import check_held_out
from instune.pools.problems import BadRecord, Problems
from instune.pools.rows import TABLES, read_rows
from instune.records import Example, Message, Task
from instune.shown import shown

PROMPTS = ("prompt", "input", "inputs_pretokenized")
TARGETS = ("completion", "target", "targets_pretokenized")
CHOICES = ("choices", "answer_choices")


class P3Rendered(Section):
    """A pool of rendered P3 rows."""

    reader: Literal["p3_rendered"]
    examples_per_template: PositiveInt  # the first so many rows of each template
    held_out: list[str]  # datasets of the test split, as the rows name them


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in row:
            return text(row, name)
    raise BadRecord(f"{' or '.join(names)}: missing", f"keys {shown(sorted(row))}")


def _choices(row: dict[str, Any], target: str) -> tuple[str, ...] | None:
    found = tuple(choice for name in CHOICES for choice in optional_texts(row, name))
    if found and target not in found:
        raise BadRecord("choices: the target is not among them", shown(target))
    return found or None


class Dataset:
    """What the rows of one dataset have said so far."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.templates: dict[str, int] = {}
        self.taken: list[int] = []
        self.examples: list[Example] = []

    def add(self, template: str, row: dict[str, Any], limit: int) -> None:
        """Add a row unless its template has `limit` rows."""
        prompt, target = _first(row, PROMPTS), _first(row, TARGETS)
        choices = _choices(row, target)
        index = self.templates.setdefault(template, len(self.templates))
        if index == len(self.taken):
            self.taken.append(0)
        if self.taken[index] < limit:
            messages = (Message("user", prompt), Message("assistant", target))
            example_id = f"{self.task_id}:{template}:{self.taken[index]}"
            self.examples.append(Example(self.task_id, example_id, prompt, (target,), choices, index, messages))
            self.taken[index] += 1


def read(
    folder: Path, *, pool: str, problems: Problems, examples_per_template: int, held_out: list[str]
) -> Iterator[tuple[Task, list[Example]]]:
    """One task per dataset, named `<pool>:<dataset>`; rows of a dataset may lie anywhere.

    Raises:
        InputError: no dataset has a name in `held_out`.
    """
    datasets: dict[str, Dataset] = {}
    for path, file in walk(folder, rf"[^/]+{TABLES}", problems):
        for place, row in read_rows(file, path, problems):
            try:
                name, template = text(row, "dataset"), text(row, "template")
                found = datasets.setdefault(name, Dataset(f"{pool}:{name.replace('/', ':')}"))
                found.add(template, row, examples_per_template)
            except BadRecord as problem:
                problems.bad(problem, place)
    check_held_out(pool, held_out, datasets)
    for name, found in sorted(datasets.items()):
        wordings = tuple(template.replace("_", " ") for template in found.templates)
        if wordings:
            metric = "choice" if all(example.choices for example in found.examples) else "rouge_l"
            split = "test" if name in held_out else "train"
            yield Task(found.task_id, pool, name, wordings[0], wordings, metric=metric, split=split), found.examples
