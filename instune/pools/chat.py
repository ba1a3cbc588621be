"""Instruction and chat data, a row per conversation; each file of the pool is one task.

The keys of a row that are not null tell its form (records of LIMA, Dolly, and the forms of Tulu, ShareGPT and GAIR/lima):

    {"dataset": "lima", "id": "lima_0", "messages": [{"role": "user", "content": "Can brain cells move? ..."},
                                                     {"role": "assistant", "content": "The question is relatively broad ..."}]}
    {"instruction": "How do I start running?", "input": "", "output": "Make sure you get comfortable running shoes ..."}
    {"prompt": "How do I start running?", "completion": "Make sure ..."}
    {"conversations": [{"from": "human", "value": "Can brain cells move?"}, {"from": "gpt", "value": "The question ..."}]}
    {"conversations": ["Can brain cells move?", "The question ..."]}

Every example carries its messages. Its input is the last user message and its reference the last assistant message; a
conversation that goes on after that is cut there, and counted. Such a task has no instruction of its own: its
definition is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

from instune.config import Section
from instune.pools.fields import optional_id, optional_text, optional_texts, records, text
from instune.pools.files import walk
from instune.pools.problems import BadRecord, Problems
from instune.pools.rows import TABLES, read_rows, table_name
from instune.records import Example, Message, Task
from instune.shown import shown

ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
PART_SIZE = 10_000


class Chat(Section):
    """A pool of conversations."""

    reader: Literal["chat"]


def _all_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _messages_of(row: dict[str, Any]) -> list[Message]:
    given = {key for key, value in row.items() if value is not None}
    if "messages" in given:
        pairs = [(text(item, "role"), text(item, "content")) for item in records(row, "messages")]
    elif "conversations" in given and _all_text(row["conversations"]):
        pairs = list(zip(cycle(("user", "assistant")), optional_texts(row, "conversations"), strict=False))
    elif "conversations" in given:
        pairs = [(text(item, "from"), text(item, "value")) for item in records(row, "conversations")]
    elif "instruction" in given:
        instruction, content = text(row, "instruction"), optional_text(row, "input")
        pairs = [("user", f"{instruction}\n\n{content}" if content else instruction), ("assistant", text(row, "output"))]
    elif "prompt" in given:
        pairs = [("user", text(row, "prompt")), ("assistant", text(row, "completion"))]
    else:
        raise BadRecord(
            "keys: expected messages, conversations, instruction and output, or prompt and completion", shown(sorted(given))
        )
    for role, _ in pairs:
        if role not in ROLES:
            raise BadRecord(f"role: expected one of {', '.join(ROLES)}", shown(role))
    return [Message(ROLES[role], content) for role, content in pairs]


def conversation(row: dict[str, Any]) -> tuple[Message, ...]:
    """The messages of a row.

    Raises:
        BadRecord: no known form, no answer, or the turns are not an optional system message, then user and assistant in turn.
    """
    messages = _messages_of(row)
    turns = [message.role for message in messages]
    if turns[:1] == ["system"]:
        turns = turns[1:]
    if len(turns) < 2 or turns != (["user", "assistant"] * len(turns))[: len(turns)]:
        raise BadRecord("messages: expected user and assistant in turn, after a system message or none", shown(turns))
    return tuple(messages)


def example_of(row: dict[str, Any], task_id: str, place: str, problems: Problems) -> Example:
    """The example of a row, up to its last answer; its id is the row's, or else its place.

    Raises:
        BadRecord: as `conversation`, or an id that is none.
    """
    messages, own_id = conversation(row), optional_id(row)
    if messages[-1].role == "user":
        problems.leave_out("last user message of a conversation, without an answer", place)
        messages = messages[:-1]
    example_id = f"{task_id}:{own_id}" if own_id else f"{task_id}#{place.rpartition(': ')[2]}"
    return Example(task_id, example_id, messages[-2].content, (messages[-1].content,), messages=messages)


def task_of(pool: str, name: str) -> Task:
    """The task that a file of conversations is."""
    return Task(f"{pool}:{name}", pool, "chat", "", ("",))


def parts(task: Task, rows: Iterator[tuple[str, dict[str, Any]]], problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """The rows' examples, in parts that fit into memory."""
    examples: list[Example] = []
    for place, row in rows:
        try:
            examples.append(example_of(row, task.task_id, place, problems))
        except BadRecord as problem:
            problems.bad(problem, place)
        if len(examples) == PART_SIZE:
            yield task, examples
            examples = []
    if examples:
        yield task, examples


def read(folder: Path, *, pool: str, problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """One task per file of the pool, in parts; the file's place in the pool, without the ends of its name, names the task."""
    places: dict[str, str] = {}
    for path, file in walk(folder, rf"[^/]+{TABLES}", problems):
        first = places.setdefault(table_name(path), path)
        if first == path:
            yield from parts(task_of(pool, table_name(path)), read_rows(file, path, problems), problems)
        else:
            for place, _ in read_rows(file, path, problems):
                problems.bad(BadRecord("file name: of another file too, but for its ends; rename one", shown(first)), place)
