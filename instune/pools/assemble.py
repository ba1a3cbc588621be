"""Put the configured raw pools together: tasks, examples and data card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from instune.errors import InputError
from instune.pools import overlap
from instune.pools.data_card import DataCard
from instune.pools.problems import Problems
from instune.pools.readers import PoolSettings, read_pool
from instune.records import Example, Task, read_examples, write_examples
from instune.targets import Targets, target_tasks


class Assembly:
    """The pools as they are read.

    Attributes:
        tasks: by id, in the order of the pools' names.
        card: entry per pool.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.card: dict[str, dict[str, Any]] = {}

    def stream(self, raw: Path, pools: Mapping[str, PoolSettings], *, strict: bool, targets: Targets) -> Iterator[Example]:
        """Every example, pool by pool and task by task; fills `tasks` and `card`.

        Raises:
            InputError: as `read_pool` and `target_tasks`, or a task id in two pools.
        """
        for name, settings in sorted(pools.items()):
            problems, counts = Problems(raw / name, strict=strict), DataCard()
            for task, examples in tqdm(read_pool(raw, name, settings, problems), desc=f"ingest {name}", unit=" tasks"):
                if self.tasks.setdefault(task.task_id, task).pool != name:
                    other = self.tasks[task.task_id].pool
                    raise InputError(f"pools.{name}: task {task.task_id} is in pool {other} too. Leave one of them out.")
                counts.add(task, examples)
                yield from examples
            self.card[name] = counts.summary(problems, settings.model_dump())
        target_tasks(self.tasks, targets)  # an unknown target stops here, before the file has its name

    def note_overlap(self, found: overlap.Overlap, dropped: Counter[str]) -> None:
        """Add to every pool's entry what overlaps with its targets, and how many of its examples were dropped for that."""
        pairs = overlap.summary(found)
        for name, entry in self.card.items():
            entry["overlap"] = [pair for pair in pairs if self.tasks[pair["target"]].pool == name]
            entry["dropped_for_overlap"] = dropped[name]


def write_pool(
    examples: Path,
    raw: Path,
    pools: Mapping[str, PoolSettings],
    *,
    strict: bool,
    targets: Targets,
    overlapping: Literal["report", "drop"],
) -> tuple[Assembly, int]:
    """Write the examples of all pools; the tasks and the card are returned with their number.

    Args:
        overlapping: what to do with source examples whose input is that of a target example, or near to it.
    """
    assembly, everything = Assembly(), examples.with_name("everything.partial")
    try:
        count = write_examples(everything, assembly.stream(raw, pools, strict=strict, targets=targets))
        asked = set(target_tasks(assembly.tasks, targets))
        sources = [task.task_id for task in assembly.tasks.values() if task.split == "train" and task.task_id not in asked]
        found = overlap.Overlap()
        if sources:
            compared = tqdm(read_examples(everything, sources), desc="compare with targets", unit=" examples")
            found = overlap.measure(list(read_examples(everything, asked)), compared, assembly.tasks)
        dropped: Counter[str] = Counter()
        if overlapping == "drop" and found.sources:
            left: Counter[str] = Counter()

            def kept() -> Iterator[Example]:
                for example in read_examples(everything):
                    if (example.task_id, example.example_id) in found.sources:
                        dropped[assembly.tasks[example.task_id].pool] += 1
                    else:
                        left[example.task_id] += 1
                        yield example

            count = write_examples(examples, kept())
            assembly.tasks = {name: task for name, task in assembly.tasks.items() if left[name]}
        else:
            everything.replace(examples)
        assembly.note_overlap(found, dropped)
        return assembly, count
    finally:
        everything.unlink(missing_ok=True)
