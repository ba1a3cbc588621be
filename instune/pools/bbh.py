"""BIG-Bench-Hard: https://github.com/suzgunmirac/BIG-Bench-Hard (arXiv 2210.09261).

`bbh/<task>.json` (or `tasks/<task>.json`, or `<task>.json` in the pool's own folder), and, where they lie beside it,
`cot-prompts/<task>.txt` and `descriptions.json`:

    {"canary": "...", "examples": [{"input": "... Jamie is holding ...\\nOptions:\\n(A) Ulysses\\n(B) Lolita", "target": "(B)"}]}

    canary line, "-----", a line that describes the task, and three blocks "Q: ...\\nA: Let's think step by step.\\n..."

The worked answers are the positive examples, reasoning included. Choices are the letters of the listed options, or their words
where they have no letter. Every task is test material.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from instune.config import Section
from instune.pools.fields import parse_record, records, text
from instune.pools.files import archive_of, content, holds, walk
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Exemplar, Task

TASKS = r"(?:bbh|tasks)/[^/]+\.json"
BARE = r"(?<!/)(?!descriptions\.json)[^/]+\.json"  # at the top of the pool only
LETTERED = re.compile(r"^(\([A-Z]\)) ", re.MULTILINE)
LISTED = re.compile(r"^- (.*\S)", re.MULTILINE)


class BigBenchHard(Section):
    """A BIG-Bench-Hard pool."""

    reader: Literal["bbh"]


def find_choices(question: str, target: str) -> tuple[str, ...] | None:
    """The options that a question lists, or None where it lists none or the target is not among them."""
    _, options, listing = question.rpartition("Options:\n")
    if not options:
        return None
    found = tuple(dict.fromkeys(LETTERED.findall(listing) or LISTED.findall(listing)))
    return found if target in found else None


def parse_worked(data: bytes) -> tuple[str, tuple[Exemplar, ...]]:
    """The description and the worked examples of a chain-of-thought prompt file.

    Raises:
        BadRecord: not UTF-8, or without a block of question and answer.
    """
    try:
        body = data.decode("utf-8-sig").replace("\r\n", "\n").rpartition("-----\n")[2]
    except UnicodeDecodeError as error:
        raise BadRecord("not UTF-8 text", f"byte {error.start}") from None
    description, *blocks = re.split(r"\n\nQ: ", body)
    pairs = [block.partition("\nA: ") for block in blocks]
    if not pairs or not all(separator for _, separator, _ in pairs):
        raise BadRecord("chain-of-thought prompt: expected blocks of Q: and A:")
    return description.strip("\n"), tuple(Exemplar(question, answer.strip("\n")) for question, _, answer in pairs)


def _beside(folder: Path, problems: Problems) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[Exemplar, ...]]]]:
    """Descriptions and worked examples by task."""
    descriptions, worked = {}, {}
    for path, file in walk(folder, r"descriptions\.json|cot-prompts/[^/]+\.txt", problems):
        try:
            if path.endswith(".json"):
                descriptions = parse_record(content(file))
            else:
                worked[PurePosixPath(path).stem] = parse_worked(content(file))
        except BadRecord as problem:
            problems.bad(problem, path)
    return descriptions, worked


def _examples(task_id: str, record: dict[str, Any], path: str, problems: Problems) -> list[Example]:
    examples = []
    for index, row in enumerate(records(record, "examples")):
        try:
            question, target = text(row, "input"), text(row, "target")
            examples.append(Example(task_id, f"{task_id}:{index}", question, (target,), find_choices(question, target)))
        except BadRecord as problem:
            problems.bad(problem, f"{path}: examples[{index}]")
    return examples


def read(folder: Path, *, pool: str, problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """One task per file; all are of the test split."""
    descriptions, worked = _beside(folder, problems)
    pattern = TASKS if archive_of(folder) or holds(folder, TASKS) else BARE
    for path, file in walk(folder, pattern, problems):
        name = PurePosixPath(path).stem
        try:
            examples = _examples(f"{pool}:{name}", parse_record(content(file)), path, problems)
            from_prompt, exemplars = worked.get(name, ("", ()))
            said = text(descriptions, name) if name in descriptions else from_prompt
        except BadRecord as problem:
            problems.bad(problem, path)
            continue
        wordings = tuple(dict.fromkeys(wording for wording in (said, from_prompt) if wording))
        if not wordings:
            problems.bad(BadRecord("description: none in descriptions.json and no chain-of-thought prompt"), path)
            continue
        metric = "choice" if all(example.choices for example in examples) else "exact_match"
        yield (
            Task(
                f"{pool}:{name}", pool, "BIG-Bench-Hard", wordings[0], wordings,
                positive_examples=exemplars, metric=metric, split="test",
            ),
            examples,
        )  # fmt: skip
