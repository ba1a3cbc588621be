"""Fixtures that many tests share: a tiny random model with its tokenizer, and a tiny pool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from makers import make_example, make_task

from instune.models import save
from instune.records import Example, Task
from instune.scratch_model import new_model, train_tokenizer

TEXTS = [
    "Name the colour of the fruit in the text.",
    "The apple is red.",
    "Say yes or no.",
    "Output:\nInput: a b c d 1 2 3",
    "\n\n",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tests share the machine: one thread each."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def dvc_as_here(tmp_path_factory):
    """Repositories that tests make have the settings of this one: their DVC sends no analytics and asks for no updates."""
    folder = tmp_path_factory.mktemp("dvc")
    (folder / "config").write_bytes((Path(__file__).parents[1] / ".dvc" / "config").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_GLOBAL_CONFIG_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def tokenizer():
    """Byte-level BPE of 400 tokens with a ChatML template; eos <|im_end|>, pad <|pad|>, no BOS."""
    return train_tokenizer(TEXTS * 20, vocab_size=400)


@pytest.fixture
def tiny_model(tokenizer):
    """A random two-layer Llama of hidden size 32, float32, eager attention, evaluation mode."""
    return new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0, attention="eager")


@pytest.fixture(scope="session")
def model_folder(tokenizer, tmp_path_factory) -> Path:
    """A folder with the tiny model, as the base_model stage leaves it."""
    folder = tmp_path_factory.mktemp("model")
    save(new_model(tokenizer, hidden_size=32, layers=2, heads=2, seed=0), tokenizer, folder)
    return folder


@pytest.fixture
def tiny_pool() -> tuple[dict[str, Task], list[Example]]:
    """Six training tasks in three categories and two test tasks, five examples each."""
    tasks = {}
    for number in range(8):
        task = make_task(number, split="train" if number < 6 else "test", category=f"category{number % 3}")
        tasks[task.task_id] = task
    return tasks, [make_example(task, number) for task in tasks.values() for number in range(5)]


@pytest.fixture
def unlike_pool(tiny_pool) -> tuple[dict[str, Task], list[Example]]:
    """The tiny pool with two wordings per task that an encoder can tell from other tasks'."""
    said = (
        ("Translate the sentence into German.", "Say this in German."),
        ("Count the animals in the list.", "How many animals are listed?"),
        ("Is the film review positive?", "Tell whether the reviewer liked the movie."),
        ("Name the capital of the country.", "Which city is the country's capital?"),
        ("Write the chemical formula of the acid.", "Give the formula of this acid."),
        ("Correct the spelling of the word.", "Fix the misspelt word."),
        ("What does the recipe call for? 6", "List the ingredients. 6"),
        ("Who won the football match? 7", "Name the winning team. 7"),
    )
    tasks = {
        task.task_id: replace(task, definition=texts[0], wordings=texts)
        for task, texts in zip(tiny_pool[0].values(), said, strict=True)
    }
    return tasks, tiny_pool[1]
