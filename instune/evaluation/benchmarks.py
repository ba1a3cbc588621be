"""Benchmarks of lm-evaluation-harness: its own tasks by name and a user's YAML tasks, loaded whole before any model is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.tasks.manager import TaskDict

from instune.errors import InputError
from instune.evaluation.run_code import passes

DEFAULT_TOKENS = 256  # new tokens of a generation task that names no limit, in lm-eval


def check_folder(folder: Path) -> None:
    """Every YAML file of a folder of tasks must be readable: lm-eval passes over the others in silence.

    Raises:
        InputError: no such folder, or a file that is no task or group.
    """
    if not folder.is_dir():
        raise InputError(f"benchmarks.include: {folder} is no folder. Name one that holds YAML tasks of lm-evaluation-harness.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.yaml")):
        try:
            config = load_yaml(path, resolve_func=False)
        except Exception as error:  # whatever the YAML and the files that it includes raise
            raise InputError(f"{path}: no task can be read ({_first_line(error)}). Mend the file, or take it out.") from None
        name = config.get("group", config.get("task"))
        if not isinstance(name, str):
            raise InputError(f"{path}: names neither task nor group. Give files that others include a name without .yaml.")
        if name in found:
            raise InputError(f"{path}: {name!r} is the name of {found[name]} too. Rename one of them.")
        found[name] = path


def manager_of(folders: Sequence[Path], names: Sequence[str]) -> TaskManager:
    """The folders' tasks, the later before the earlier, and lm-eval's own where a name is not among them.

    Raises:
        InputError: a folder or a file of it that cannot be read.
    """
    for folder in folders:
        check_folder(folder)
    own = TaskManager(include_path=list(folders), include_defaults=False)
    if all(name in own.task_index for name in names):
        parts = (part for name in names for part in members(own, name))
        if all(part in own.task_index for part in parts):
            return own
    return TaskManager(include_path=list(folders))  # seconds: it reads some ten thousand files


def members(manager: TaskManager, name: str) -> Iterator[str]:
    """The tasks that a task, group or tag stands for, without loading one.

    Raises:
        InputError: no such name; close ones are listed.
    """
    entry = manager.task_index.get(name)
    if entry is None:
        close = get_close_matches(name, manager.all_tasks, n=5)
        hint = f"Close to it: {', '.join(close)}. " if close else ""
        raise InputError(f"benchmarks.tasks: {name!r} is no task, group or tag. {hint}`lm_eval ls tasks` lists all.")
    if name in manager.all_tags:
        yield from sorted(entry.tags)
    elif name in manager.all_groups:
        for child in entry.cfg["task"]:
            inner = child if isinstance(child, str) else child.get("task", child.get("group"))
            known = isinstance(inner, str) and inner in manager.task_index
            yield from members(manager, inner) if known else [f"{name}::{inner}"]  # defined in the group's own file
    else:
        yield name


def load(manager: TaskManager, names: Sequence[str], *, unsafe_code: bool, num_fewshot: int | None, seed: int) -> TaskDict:
    """All tasks with their data, as `lm_eval` itself would set them up.

    Args:
        unsafe_code: whether tasks may run what the model writes.
        num_fewshot: examples in the prompt of every task but those that fix none; None: each task's own.
        seed: of examples that are drawn.

    Raises:
        InputError: an unknown name, a task that runs code where that is off, or one that cannot be loaded, as where it wants the
            Hub and there is none.
    """
    _check_unsafe(manager, names, allowed=unsafe_code)
    try:
        loaded = manager.load(list(names))
    except Exception as error:  # whatever the loader of a data set raises
        raise _unloadable(manager, names, error) from None
    for task in loaded["tasks"].values():
        _set_up(task, num_fewshot=num_fewshot, seed=seed)
    return loaded


def _check_unsafe(manager: TaskManager, names: Sequence[str], *, allowed: bool) -> None:
    for task in (task for name in names for task in members(manager, name) if task in manager.task_index):
        if (manager.task_index[task].cfg or {}).get("unsafe_code"):
            if not allowed:
                raise InputError(
                    f"benchmark task {task}: runs the code that the model writes, on this machine. Take it out of "
                    "benchmarks.tasks, or set benchmarks.unsafe_code: true, best in a container."
                )
            if not passes(""):
                raise InputError(f"benchmark task {task}: an empty program fails here, so none could pass. Take the task out.")


def _unloadable(manager: TaskManager, names: Sequence[str], error: Exception) -> InputError:
    """The message, with the first task by itself that fails to load."""
    culprit, cause = ", ".join(names), error
    for task in (task for name in names for task in members(manager, name)):
        try:
            manager.load([task])
        except Exception as alone:
            culprit, cause = task, alone
            break
    return InputError(
        f"benchmark task {culprit}: cannot be loaded ({type(cause).__name__}: {_first_line(cause)})\n"
        "  Most tasks of lm-eval fetch their data from the Hub: run once where it can be reached, or bring the data as a YAML "
        "task with `dataset_path: json` (tools/local_benchmarks writes some)."
    )


def _set_up(task: Task, *, num_fewshot: int | None, seed: int) -> None:
    """As `lm_eval` does between loading and asking: a task that fixes no examples keeps none."""
    own = task.get_config("num_fewshot")
    if own is None or (num_fewshot is not None and own != 0):
        task.set_config(key="num_fewshot", value=num_fewshot or 0)
    task.set_fewshot_seed(seed=seed)


def check_lengths(loaded: TaskDict, max_length: int) -> None:
    """A generation must leave room for its prompt.

    Raises:
        InputError: a task asks for as many new tokens as the model reads at all.
    """
    for name, task in loaded["tasks"].items():
        wanted = (task.get_config("generation_kwargs") or {}).get("max_gen_toks", DEFAULT_TOKENS)
        if task.OUTPUT_TYPE == "generate_until" and wanted >= max_length:
            raise InputError(
                f"benchmark task {name}: asks for {wanted} new tokens, and the model reads {max_length} in all. Take it out, or "
                "include a YAML task of your own with a lower generation_kwargs.max_gen_toks."
            )


def quiet() -> None:
    """Leave lm-eval's log to errors."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
