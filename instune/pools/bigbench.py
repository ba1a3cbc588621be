"""BIG-bench JSON tasks: https://github.com/google/BIG-bench (arXiv 2206.04615).

Two layouts, told apart by what lies in the folder:

- the repository or its packed source (`bigbench-1.0.0.tar.gz`, read in place): `benchmark_tasks/<task>[/<subtask>]/task.json`:

      {"name": "1_digit_addition", "description": "Add two one-digit numbers", "keywords": ["arithmetic", ...],
       "metrics": ["exact_str_match", "multiple_choice_grade"], "preferred_score": "exact_str_match", "task_prefix": "",
       "examples": [{"input": "What is 0 plus 0?", "target": "0", "target_scores": {"banana": 0.0, "0": 1.0}}]}

- `tasks*.jsonl.gz`, the same without examples and with the task's path under `task`, beside `examples*.jsonl.gz`.

The instruction is the task prefix where there is one, and the description is another wording. As in BIG-bench's json_task.py, the
choices follow the input unless `append_choices_to_input` is false (there shuffled, here in the file's order), and the target of a
multiple-choice example is the first choice with the highest score. Every task is test material. Programmatic tasks
(`task.py`) have no examples on disk; they are counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.pools.fields import optional_text, optional_texts, parse_record, records, text, texts
from instune.pools.files import content, holds, walk
from instune.pools.joined import Raw, join
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Metric, Task
from instune.shown import shown

DEFINITIONS = r"tasks[^/]*\.jsonl(?:\.gz)?"
CHOICE_PREFIX = "\n  choice: "  # json_task.py's default


class BigBench(Section):
    """A BIG-bench pool."""

    reader: Literal["bigbench"]
    examples_per_task: PositiveInt  # the first so many examples of each task


def _files(folder: Path, problems: Problems) -> Iterator[Raw]:
    for path, file in walk(folder, r"benchmark_tasks/[^/]+/(?:(?:[^/]+/)?task\.json|task\.py)", problems):
        if path.endswith(".py"):
            problems.leave_out("programmatic task, without task.json", path)
            continue
        try:
            record = parse_record(content(file))
            examples = [(f"{path}: examples[{i}]", row) for i, row in enumerate(records(record, "examples"))]
        except BadRecord as problem:
            problems.bad(problem, path)
        else:
            name = path.rpartition("benchmark_tasks/")[2].removesuffix("/task.json")
            if "examples" in record:
                yield Raw(name, path, record, examples)
            else:
                problems.leave_out("parent of subtasks, without examples of its own", path)


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max  # NaN is not


def scored_choices(row: dict[str, Any]) -> dict[str, float]:
    """Score of every choice, in file order; empty where the example has none.

    Raises:
        BadRecord: not a mapping from text to numbers.
    """
    scores = row.get("target_scores")
    if scores is None:
        return {}
    if not isinstance(scores, dict) or not scores or not all(map(_is_score, scores.values())):
        raise BadRecord("target_scores: expected numbers by choice", shown(scores))
    return {text({"target_scores": choice}, "target_scores"): float(score) for choice, score in scores.items()}


def references_of(row: dict[str, Any], scores: dict[str, float]) -> tuple[str, ...]:
    """The targets, or else the first choice of the highest score.

    Raises:
        BadRecord: neither target nor scores, or scores that single out no choice.
    """
    if "target" in row:
        return tuple(texts(row, "target")) if isinstance(row["target"], list) else (text(row, "target"),)
    if not scores:
        raise BadRecord("target: missing, and no target_scores", f"keys {shown(sorted(row))}")
    best = max(scores.values())
    if best <= (0 if len(scores) == 1 else min(scores.values())):
        raise BadRecord("target_scores: no choice is better than the others", shown(scores))
    return (next(choice for choice, score in scores.items() if score == best),)


def _example(task_id: str, position: int, row: dict[str, Any], record: dict[str, Any]) -> Example:
    scores = scored_choices(row)
    shown_input, references = text(row, "input"), references_of(row, scores)
    choices = tuple(scores) if set(references) <= scores.keys() else None
    if scores and record.get("append_choices_to_input", True):
        prefix = text(record, "choice_prefix") if record.get("choice_prefix") is not None else CHOICE_PREFIX
        shown_input += "".join(prefix + choice for choice in scores)
    return Example(task_id, f"{task_id}:{position}", shown_input, references, choices)


def _examples(task_id: str, raw: Raw, limit: int, problems: Problems) -> list[Example]:
    examples = []
    for position, (place, row) in enumerate(raw.instances[:limit]):
        try:
            examples.append(_example(task_id, position, row, raw.record))
        except BadRecord as problem:
            problems.bad(problem, place)
    return examples


def _metric(record: dict[str, Any], examples: list[Example]) -> Metric:
    preferred = optional_text(record, "preferred_score")
    if preferred == "multiple_choice_grade" and all(example.choices for example in examples):
        return "choice"
    return "rouge_l" if preferred.startswith(("rouge", "bleu")) else "exact_match"


def _task(raw: Raw, examples: list[Example], task_id: str, pool: str) -> Task:
    prefix, description = optional_text(raw.record, "task_prefix"), text(raw.record, "description")
    wordings = tuple(dict.fromkeys(wording for wording in (prefix, description) if wording.strip()))
    if not wordings:
        raise BadRecord("description: empty, and no task_prefix")
    return Task(
        task_id,
        pool,
        raw.name.partition("/")[0],
        wordings[0],
        wordings,
        domains=tuple(optional_texts(raw.record, "keywords")),
        metric=_metric(raw.record, examples),
        split="test",
    )


def read(folder: Path, *, pool: str, problems: Problems, examples_per_task: int) -> Iterator[tuple[Task, list[Example]]]:
    """One task per subtask, named `<pool>:<task>[:<subtask>]`; all are of the test split."""
    if holds(folder, DEFINITIONS):
        source = join(folder, DEFINITIONS, r"examples[^/]*\.jsonl(?:\.gz)?", problems)
    else:
        source = _files(folder, problems)
    for raw in source:
        task_id = f"{pool}:{raw.name.replace('/', ':')}"
        try:
            examples = _examples(task_id, raw, examples_per_task, problems)
            task = _task(raw, examples, task_id, pool)
        except BadRecord as problem:
            problems.bad(problem, raw.place)
        else:
            yield task, examples
