"""Small tasks and examples for tests."""

from __future__ import annotations

import torch

from instune.records import Example, Exemplar, Task


def make_task(number: int, *, split: str = "train", category: str = "colour", wordings: tuple[str, ...] = ()) -> Task:
    """A task named `task<number>` with two wordings and two positive examples."""
    wordings = wordings or (f"Name the colour in text {number}.", f"Which colour does text {number} name?")
    exemplars = (Exemplar("The sky is blue.", "blue", "it says so"), Exemplar("A green leaf.", "green"))
    return Task(f"task{number}", "tiny", category, wordings[0], wordings, positive_examples=exemplars, split=split)


def make_example(task: Task, number: int, *, text: str | None = None, output: str = "red") -> Example:
    """The example `<task>-<number>`."""
    return Example(task.task_id, f"{task.task_id}-{number}", text or f"The apple {number} is red.", (output,))


def overfit(model, tokenizer, prompt, answer):
    """Teach a model one answer by heart."""
    ids = torch.tensor([tokenizer(prompt + answer, add_special_tokens=False)["input_ids"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
