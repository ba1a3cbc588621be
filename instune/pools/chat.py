"""Instruction and chat data, a row per conversation; each file of the pool is one task.

The keys of a row tell its form (records of LIMA, Dolly, and the forms of Tulu and ShareGPT):

    {"dataset": "lima", "id": "lima_0", "messages": [{"role": "user", "content": "Can brain cells move? ..."},
                                                     {"role": "assistant", "content": "The question is relatively broad ..."}]}
    {"instruction": "How do I start running?", "input": "", "output": "Make sure you get comfortable running shoes ..."}
    {"prompt": "How do I start running?", "completion": "Make sure ..."}
    {"conversations": [{"from": "human", "value": "Can brain cells move?"}, {"from": "gpt", "value": "The question ..."}]}

Every example carries its messages. Its input is the last user message and its reference the last assistant message; a
conversation that goes on after that is cut there. Such a task has no instruction of its own: its definition is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from instune.config import Section
from instune.pools.fields import optional_text, records, text
from instune.pools.files import walk
from instune.pools.problems import BadRecord, Problems, shown
from instune.pools.rows import TABLES, read_rows
from instune.records import Example, Message, Task

ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
PART_SIZE = 10_000


class Chat(Section):
    """A pool of conversations."""

    reader: Literal["chat"]


def _messages_of(row: dict[str, Any]) -> list[Message]:
    if "messages" in row:
        pairs = [(text(item, "role"), text(item, "content")) for item in records(row, "messages")]
    elif "conversations" in row:
        pairs = [(text(item, "from"), text(item, "value")) for item in records(row, "conversations")]
    elif "instruction" in row:
        given = optional_text(row, "input")
        instruction = text(row, "instruction")
        pairs = [("user", f"{instruction}\n\n{given}" if given else instruction), ("assistant", text(row, "output"))]
    elif "prompt" in row:
        pairs = [("user", text(row, "prompt")), ("assistant", text(row, "completion"))]
    else:
        raise BadRecord(
            "keys: expected messages, conversations, instruction and output, or prompt and completion", shown(sorted(row))
        )
    for role, _ in pairs:
        if role not in ROLES:
            raise BadRecord(f"role: expected one of {', '.join(ROLES)}", shown(role))
    return [Message(ROLES[role], content) for role, content in pairs]


def conversation(row: dict[str, Any]) -> tuple[Message, ...]:
    """The messages of a row, up to the last of the assistant's.

    Raises:
        BadRecord: no known form, or the turns are not an optional system message, then user and assistant in turn.
    """
    messages = _messages_of(row)
    turns = [message.role for message in messages]
    if turns[:1] == ["system"]:
        turns = turns[1:]
    answered = turns[: len(turns) - len(turns) % 2]
    if not answered or turns != (["user", "assistant"] * len(turns))[: len(turns)]:
        raise BadRecord("messages: expected user and assistant in turn, after a system message or none", shown(turns))
    return tuple(messages[: len(messages) - len(turns) % 2])


def example_of(row: dict[str, Any], task_id: str, place: str) -> Example:
    """The example of a row; its id is the row's, or else its place.

    Raises:
        BadRecord: as `conversation`.
    """
    messages = conversation(row)
    example_id = f"{task_id}:{text(row, 'id')}" if isinstance(row.get("id"), str) else f"{task_id}:{place.rpartition(': ')[2]}"
    return Example(task_id, example_id, messages[-2].content, (messages[-1].content,), messages=messages)


def task_of(pool: str, name: str) -> Task:
    """The task that a file of conversations is."""
    return Task(f"{pool}:{name}", pool, "chat", "", ("",))


def parts(task: Task, rows: Iterator[tuple[str, dict[str, Any]]], problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """The rows' examples, in parts that fit into memory."""
    examples: list[Example] = []
    for place, row in rows:
        try:
            examples.append(example_of(row, task.task_id, place))
        except BadRecord as problem:
            problems.bad(problem, place)
        if len(examples) == PART_SIZE:
            yield task, examples
            examples = []
    if examples:
        yield task, examples


def read(folder: Path, *, pool: str, problems: Problems) -> Iterator[tuple[Task, list[Example]]]:
    """One task per file of the pool, in parts; a file's name without its ends names the task."""
    for path, file in walk(folder, rf"[^/]+{TABLES}", problems):
        yield from parts(task_of(pool, PurePosixPath(path).name.partition(".")[0]), read_rows(file, path, problems), problems)
