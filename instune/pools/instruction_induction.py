"""Instruction Induction: https://github.com/orhonovich/instruction-induction (arXiv 2205.10782).

`annotations/<task>.json` with the instructions that people wrote, and examples in `raw/induce/` (to learn from) and
`raw/execute/` (to be scored on), of which one is read:

    {"annotations": ["output the passive form of the input", "Rewrite the input sentence in passive form", ...]}
    {"metadata": {...}, "examples": {"1": {"input": "The professor mentioned the artist.", "output": "The artist was ..."}}}

Three kinds of example have other fields: `cause, effect` (two sentences in an order drawn from the example's key), `items,
concept`, and lists of further accepted outputs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from instune.config import Section
from instune.pools.fields import optional_texts, parse_record, text, texts
from instune.pools.files import content, walk
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Split, Task
from instune.shown import shown

ACCEPTED = ("possible_outputs", "possible_translations", "other_rhymes")
SPLITS: dict[str, Split] = {"induce": "train", "execute": "test"}


class InstructionInduction(Section):
    """An Instruction Induction pool."""

    reader: Literal["instruction_induction"]
    part: Literal["induce", "execute"]  # induce: training tasks; execute: test tasks


def input_and_references(key: str, row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """What is asked and every accepted answer, the main one first.

    Raises:
        BadRecord: none of the known forms.
    """
    if "cause" in row:
        pair = [text(row, "cause"), text(row, "effect")]
        first, second = pair if zlib.crc32(" ".join([key, *pair]).encode()) % 2 else reversed(pair)
        return f"Sentence 1: {first} Sentence 2: {second}", (pair[0],)
    if "items" in row:
        return ", ".join(texts(row, "items")), tuple(
            dict.fromkeys([text(row, "concept"), *optional_texts(row, "all_common_concepts")])
        )
    further = [answer for name in ACCEPTED for answer in optional_texts(row, name)]
    return text(row, "input"), tuple(dict.fromkeys([text(row, "output"), *further]))


def _annotations(folder: Path, problems: Problems) -> dict[str, tuple[str, ...]]:
    wordings = {}
    for path, file in walk(folder, r"annotations/[^/]+\.json", problems):
        try:
            found = dict.fromkeys(texts(parse_record(content(file)), "annotations"))
            wordings[PurePosixPath(path).stem] = tuple(wording for wording in found if wording.strip())
        except BadRecord as problem:
            problems.bad(problem, path)
    return wordings


def _examples(task_id: str, record: dict[str, Any], path: str, problems: Problems) -> list[Example]:
    rows, examples = record.get("examples"), []
    if not isinstance(rows, dict):
        raise BadRecord("examples: expected objects by key", shown(rows))
    for key, row in rows.items():
        try:
            if not isinstance(row, dict):
                raise BadRecord("not a JSON object", shown(row))
            asked, references = input_and_references(key, row)
            examples.append(Example(task_id, f"{task_id}:{key}", asked, references))
        except BadRecord as problem:
            problems.bad(problem, f"{path}: examples[{key!a}]")
    return examples


def read(folder: Path, *, pool: str, problems: Problems, part: str) -> Iterator[tuple[Task, list[Example]]]:
    """One task per file of the part; scored by exact match."""
    wordings = _annotations(folder, problems)
    for path, file in walk(folder, rf"raw/{part}/[^/]+\.json", problems):
        name = PurePosixPath(path).stem
        task_id = f"{pool}:{name}"
        try:
            examples = _examples(task_id, parse_record(content(file)), path, problems)
            if not wordings.get(name):
                raise BadRecord("annotations: no file with instructions for this task")
        except BadRecord as problem:
            problems.bad(problem, path)
        else:
            said = wordings[name]
            yield Task(task_id, pool, "Instruction Induction", said[0], said, metric="exact_match", split=SPLITS[part]), examples
