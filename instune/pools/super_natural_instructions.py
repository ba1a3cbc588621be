"""Super-NaturalInstructions: https://github.com/allenai/natural-instructions (arXiv 2204.07705).

Two layouts, told apart by what lies in the folder:

- a clone, unpacked or as one `.zip` or `.tar.gz`: `tasks/task001_quoref_question_generation.json` and `splits/`:

      {"Categories": ["Question Generation"], "Definition": ["In this task, you're given passages ..."], "Domains": ["Wikipedia"],
       "Input_language": ["English"], "Output_language": ["English"], "Instruction_language": ["English"],
       "Positive Examples": [{"input": "Passage: ...", "output": "Who ...?", "explanation": "This question ..."}],
       "Negative Examples": [...], "Instance License": ["CC BY 4.0"],
       "Instances": [{"id": "task001-f44b...", "input": "Passage: ...", "output": ["What ...?", "Who ...?"]}, ...]}

- `definitions*.jsonl.gz`, the same without Instances and with its name under `task`, beside `instances*.jsonl.gz` and `splits/`:

      {"task": "task020_mctaco_span_based_question", "id": "task020-3b64...", "index": 0, "input": "Sentence: Jerry goes ...",
       "output": ["No."]}

Official rules: the category is the first of Categories, a test task is scored on its first 100 instances. The official training
script draws the instances of a training task at random; here they are the first ones, so that the pool depends on no seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import PositiveInt

from instune.config import Section
from instune.errors import InputError
from instune.pools.fields import optional_text, optional_texts, parse_record, records, text, texts
from instune.pools.files import content, holds, natural_key, walk
from instune.pools.joined import Raw, join
from instune.pools.problems import BadRecord, Problems
from instune.records import Example, Exemplar, Split, Task
from instune.shown import shown

CLASSIFICATION_CATEGORIES = frozenset(  # scored by exact match in Tk-Instruct's compute_metrics.py, every other by ROUGE-L
    {
        "Answerability Classification",
        "Cause Effect Classification",
        "Coreference Resolution",
        "Dialogue Act Recognition",
        "Textual Entailment",
        "Word Analogy",
    }
)
TRACKS = {"English": "default", "any": "xlingual"}  # language -> official split
DEFINITIONS = r"definitions[^/]*\.jsonl(?:\.gz)?"
LANGUAGE_KEYS = ("Input_language", "Output_language", "Instruction_language")


class SuperNaturalInstructions(Section):
    """A Super-NaturalInstructions pool."""

    reader: Literal["super_natural_instructions"]
    instances_per_task: PositiveInt  # the first so many instances of each training task
    test_instances_per_task: PositiveInt  # the first so many instances of each test task; 100 in the official protocol
    language: Literal["English", "any"]  # English: splits/default, all languages of a task English; any: splits/xlingual


def read_splits(folder: Path, track: str, problems: Problems) -> dict[str, Split]:
    """Split of every listed task.

    Raises:
        InputError: a list is missing, or a task stands in two lists.
    """
    splits: dict[str, Split] = {}
    found = set()
    for path, file in walk(folder, rf"splits/{track}/(?:train|test|excluded)_tasks\.txt", problems):
        split = PurePosixPath(path).stem.removesuffix("_tasks")
        found.add(split)
        try:
            names = content(file).decode("utf-8-sig", errors="replace").split()
        except BadRecord as problem:
            problems.bad(problem, path)
            continue
        for name in names:
            if splits.setdefault(name, split) != split:
                raise InputError(f"{folder}: {path}: {shown(name)} is listed as {splits[name]} too. Keep it in one list.")
    for split in sorted({"train", "test"} - found):
        raise InputError(f"{folder}: splits/{track}/{split}_tasks.txt: not found. Bring the pool with its splits/ folder.")
    return splits


def _clone(folder: Path, splits: dict[str, Split], seen: set[str], problems: Problems) -> Iterator[Raw]:
    for path, file in walk(folder, r"tasks/[^/]+\.json", problems):
        name = PurePosixPath(path).stem
        seen.add(name)
        try:
            record = parse_record(content(file)) if splits.get(name, "excluded") != "excluded" else {"Instances": []}
            if "Instances" not in record:
                raise BadRecord("Instances: missing", f"keys {shown(sorted(record))}")
            instances = enumerate(records(record, "Instances"))
        except BadRecord as problem:
            problems.bad(problem, path)
        else:
            yield Raw(name, path, record, [(f"{path}: Instances[{index}]", row) for index, row in instances])


def _joined(folder: Path, splits: dict[str, Split], seen: set[str], problems: Problems) -> Iterator[Raw]:
    for raw in join(folder, DEFINITIONS, r"instances[^/]*\.jsonl(?:\.gz)?", problems):
        seen.add(raw.name)
        yield raw


def _exemplars(record: dict[str, Any], key: str) -> tuple[Exemplar, ...]:
    try:
        return tuple(
            Exemplar(text(item, "input"), text(item, "output"), optional_text(item, "explanation"))
            for item in records(record, key)
        )
    except BadRecord as problem:
        raise BadRecord(f"{key}: {problem.reason}", problem.found) from None


def _definition(record: dict[str, Any]) -> tuple[str, ...]:
    """Distinct wordings in order; the first releases held one string in place of a list."""
    if isinstance(record.get("Definition"), str):
        return (text(record, "Definition"),)
    return tuple(dict.fromkeys(texts(record, "Definition")))


def _task(raw: Raw, *, pool: str, split: Split) -> Task:
    wordings, category = _definition(raw.record), texts(raw.record, "Categories")[0]
    return Task(
        task_id=raw.name,
        pool=pool,
        category=category,
        definition=wordings[0],
        wordings=wordings,
        domains=tuple(optional_texts(raw.record, "Domains")),
        positive_examples=_exemplars(raw.record, "Positive Examples"),
        negative_examples=_exemplars(raw.record, "Negative Examples"),
        metric="exact_match" if category in CLASSIFICATION_CATEGORIES else "rouge_l",
        split=split,
        license=", ".join(optional_texts(raw.record, "Instance License")),
    )


def _examples(raw: Raw, limit: int, problems: Problems) -> list[Example]:
    """The good ones of the first `limit` instances; older releases carry no ids, there the position names an instance."""
    examples = []
    for position, (place, instance) in enumerate(raw.instances[:limit]):
        try:
            example_id = text(instance, "id") if "id" in instance else f"{raw.name}-{position}"
            examples.append(Example(raw.name, example_id, text(instance, "input"), tuple(texts(instance, "output"))))
        except BadRecord as problem:
            problems.bad(problem, place)
    return examples


def _is_english(record: dict[str, Any]) -> bool:
    return all(language == "English" for key in LANGUAGE_KEYS for language in optional_texts(record, key))


def read(
    folder: Path,
    *,
    pool: str,
    problems: Problems,
    instances_per_task: int,
    test_instances_per_task: int,
    language: str,
) -> Iterator[tuple[Task, list[Example]]]:
    """Tasks of the training and test lists with their examples, task by task.

    Args:
        folder: the raw pool.
        pool: its name.
        problems: told about everything that is left out.
        instances_per_task, test_instances_per_task: instances taken per training and per test task; later ones are not looked at.
        language: a key of `TRACKS`.

    Raises:
        InputError: no known layout, no split, or, in strict mode, a bad record.
    """
    splits = read_splits(folder, TRACKS[language], problems)
    seen: set[str] = set()
    source = _joined if holds(folder, DEFINITIONS) else _clone
    for raw in source(folder, splits, seen, problems):
        split = splits.get(raw.name)
        try:
            if split in (None, "excluded"):
                problems.leave_out("task excluded by the split" if split else "task in no list of the split", raw.place)
            elif language == "English" and not _is_english(raw.record):
                problems.leave_out("task not in English", raw.place)
            else:
                task = _task(raw, pool=pool, split=split)
                yield task, _examples(raw, test_instances_per_task if split == "test" else instances_per_task, problems)
        except BadRecord as problem:
            problems.bad(problem, raw.place)
    for name in sorted(splits.keys() - seen, key=natural_key):
        if splits[name] != "excluded":
            problems.leave_out("task of the split that the pool does not hold", shown(name))
