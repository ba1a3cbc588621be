"""Generated predictions, and the pool that they answer, as large as asked: for the benchmark of scoring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from instune.evaluation.predictions import Prediction, write_predictions
from instune.records import Example, Exemplar, Task, write_examples, write_tasks

TASKS = 119  # of the test split of Super-NaturalInstructions
SYLLABLES = ("ba", "con", "der", "es", "fi", "ing", "ly", "mo", "nu", "per", "ques", "ra", "sion", "ta", "vi", "zo")
ACCENTED = ("é", "ß", "Москва", "北京")
TEXTS = 5_000


def make_texts(seed: int) -> list[str]:
    """Texts of 1 to 60 words, a few of them frequent; one in twenty has letters beyond ASCII."""
    draw = Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    texts = []
    for _ in range(TEXTS):
        chosen = draw.choices(words, weights, k=draw.randint(1, 60))
        texts.append(" ".join([*chosen, *([draw.choice(ACCENTED)] if draw.random() < 0.05 else [])]) + ".")
    return texts


def answers(task: int, texts: list[str]) -> list[str]:
    """What may be answered to a task: one of four short labels in every third task, else any text."""
    return [text.split()[0] for text in texts[4 * task : 4 * task + 4]] if task % 3 == 0 else texts


def examples(count: int, texts: list[str]) -> Iterator[Example]:
    """Questions of about 500 characters with one to three references."""
    draw = Random(1)
    for number in range(count):
        task = number * TASKS // count
        references = tuple(draw.choices(answers(task, texts), k=draw.randint(1, 3)))
        yield Example(f"task{task:03}", f"{number:06}", " ".join(draw.choices(texts, k=3)), references)


def predictions(count: int, texts: list[str], seed: int) -> Iterator[Prediction]:
    """One model's answers, three in ten of them a reference."""
    draw = Random(seed)
    for example in examples(count, texts):
        of_task = answers(int(example.task_id[4:]), texts)
        choices = of_task if len(of_task) == 4 else None
        yield Prediction(
            task_id=example.task_id,
            example_id=example.example_id,
            prompt=f"{example.input} " * 3,
            prompt_hash="0" * 16,
            output=draw.choice(example.references if draw.random() < 0.3 else of_task),
            references=list(example.references),
            choices=choices,
            choice_loglikelihoods=choices and [-draw.random() for _ in choices],
            nll=draw.random() * 9,
            nll_tokens=draw.randint(1, 90),
            prompt_tokens=300,
            output_tokens=20,
            finish="stop",
            model="0" * 16,
            truncated=[],
            merged=False,
        )


def write_questions(folder: Path, count: int) -> None:
    """`tasks.parquet`, `examples.parquet`, and `base/` and `tuned/` with so many predictions each."""
    texts, example = make_texts(0), (Exemplar("question", "answer"),)
    names = [(f"task{task:03}", f"category {task % 12}") for task in range(TASKS)]
    tasks = [Task(name, "made", group, "Answer.", ("Answer.",), positive_examples=example) for name, group in names]
    write_tasks(folder / "tasks.parquet", tasks)
    write_examples(folder / "examples.parquet", examples(count, texts))
    for seed, model in enumerate(("base", "tuned")):
        write_predictions(folder / model, predictions(count, texts, seed))
