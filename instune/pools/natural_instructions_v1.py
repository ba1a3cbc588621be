"""Natural Instructions v1: https://github.com/allenai/natural-instructions-v1 (arXiv 2104.08773).

A folder with one JSON file per task, or `definitions*.jsonl.gz` without Instances beside `instances*.jsonl.gz`; in both cases
with `split.json`, `{"train": [...], "eval": [...]}`:

    {"Title": "Write a question", "Prompt": "Write a question about the passage.", "Definition": "In this task, you're given ...",
     "Things to Avoid": "1. Avoid questions that ...", "Emphasis & Caution": "1. For each of your questions ...",
     "Examples": {"Positive Examples": [{"input": "Passage: ...", "output": "Who ...?", "reason": "This question ..."}],
                  "Negative Examples": [{"input": "...", "output": "...", "reason": "...", "suggestion": "..."}]},
     "Instances": [{"input": "Passage: ...", "output": ["What were the last names ...?"]}]}

A dash stands for an absent field, also in place of examples. The wordings are the definition, the prompt, and the definition
with what to emphasize and to avoid, under the headings of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.errors import InputError
from instune.pools.fields import optional_text, parse_record, records, text, texts
from instune.pools.files import content, holds, walk
from instune.pools.joined import Raw, join
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Exemplar, Split, Task

DEFINITIONS = r"definitions[^/]*\.jsonl(?:\.gz)?"
SPLITS: dict[str, Split] = {"train": "train", "eval": "test"}


class NaturalInstructionsV1(Section):
    """A Natural Instructions v1 pool."""

    reader: Literal["natural_instructions_v1"]
    instances_per_task: PositiveInt  # the first so many instances of each task


def _splits(folder: Path, problems: Problems) -> dict[str, Split]:
    for path, file in walk(folder, r"split\.json", problems):
        try:
            lists = parse_record(content(file))
            return {name: split for key, split in SPLITS.items() for name in texts(lists, key)}
        except BadRecord as problem:
            raise InputError(f"{folder}: {path}: {problem.reason}. Found: {problem.found}.") from None
    raise InputError(f'{folder}: split.json: not found. Write {{"train": [task names], "eval": [task names]}} into it.')


def _files(folder: Path, problems: Problems) -> Iterator[Raw]:
    for path, file in walk(folder, r"(?!split\.json)[^/]+\.json", problems):
        try:
            record = parse_record(content(file))
            instances = [(f"{path}: Instances[{i}]", row) for i, row in enumerate(records(record, "Instances"))]
        except BadRecord as problem:
            problems.bad(problem, path)
        else:
            yield Raw(PurePosixPath(path).stem, path, record, instances)


def _said(record: dict[str, Any], key: str) -> str:
    value = optional_text(record, key)
    return "" if value.strip() == "-" else value


def wordings_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The definition, the prompt, and the definition with emphasis and things to avoid; distinct.

    Raises:
        BadRecord: no definition.
    """
    definition = text(record, "Definition")
    headed = [f"{key}: {value}" for key in ("Emphasis & Caution", "Things to Avoid") if (value := _said(record, key))]
    found = [definition, _said(record, "Prompt"), "\n".join([definition, *headed])]
    return tuple(dict.fromkeys(wording for wording in found if wording))


def _exemplars(record: dict[str, Any], key: str) -> tuple[Exemplar, ...]:
    groups = record.get("Examples")
    if not isinstance(groups, dict) or groups.get(key) in ("-", ["-"]):
        return ()
    return tuple(
        Exemplar(text(item, "input"), text(item, "output"), optional_text(item, "reason")) for item in records(groups, key)
    )


def _examples(raw: Raw, limit: int, problems: Problems) -> list[Example]:
    examples = []
    for position, (place, instance) in enumerate(raw.instances[:limit]):
        try:
            references = tuple(texts(instance, "output"))
            examples.append(Example(raw.name, f"{raw.name}:{position}", text(instance, "input"), references))
        except BadRecord as problem:
            problems.bad(problem, place)
    return examples


def read(folder: Path, *, pool: str, problems: Problems, instances_per_task: int) -> Iterator[tuple[Task, list[Example]]]:
    """The tasks of split.json; scored by ROUGE-L, as in the paper."""
    splits = _splits(folder, problems)
    if holds(folder, DEFINITIONS):
        source = join(folder, DEFINITIONS, r"instances[^/]*\.jsonl(?:\.gz)?", problems)
    else:
        source = _files(folder, problems)
    for raw in source:
        if raw.name not in splits:
            problems.leave_out("task in no list of the split", raw.place)
            continue
        try:
            wordings = wordings_of(raw.record)
            task = Task(
                raw.name,
                pool,
                _said(raw.record, "Title"),
                wordings[0],
                wordings,
                positive_examples=_exemplars(raw.record, "Positive Examples"),
                negative_examples=_exemplars(raw.record, "Negative Examples"),
                split=splits[raw.name],
            )
        except BadRecord as problem:
            problems.bad(problem, raw.place)
        else:
            yield task, _examples(raw, instances_per_task, problems)
