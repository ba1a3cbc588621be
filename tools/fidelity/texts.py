"""Texts that stand for a task when selections are held against INSTA's published lists: what the encoder is given to compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from instune.pools.promptsource import EXPRESSION, LITERAL, SEPARATOR, STATEMENT, PromptTemplate

NAME = "its name"  # instead of a word for every variable: the variable's name
IDENTIFIER = re.compile(r"""(?<![\w.'"])[A-Za-z_]\w*""")
CHOICE = re.compile(r"answer_choices|choice|\boptions?\b|sentence_quiz|answers?\b|candidates")
BRANCH = re.compile(r"\{%-?\s*(if|elif|else|endif)\b.*?%\}", re.DOTALL)
LABEL = re.compile(
    r"\b(question|answer|passage|context|text|paragraph|background|article|title|document|review|sentence \d|options|summary)"
    r"\s*:",
    re.IGNORECASE,
)
QUOTE = re.compile(r"[\"“”]|(?<!\w)'|'(?!\w)")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
DETAIL = re.compile(r"good questions?|do not|avoid|note that|there (are|is) only|make sure|please|should be", re.IGNORECASE)
OPENING = re.compile(r"^(in|for) this task,?\s*", re.IGNORECASE)

CLEANINGS: dict[str, dict[str, Any]] = {  # how a promptsource template becomes a wording
    "variable names": {"variable": NAME},
    "variables removed": {"variable": " "},
    "'...'": {"variable": "..."},
    "'text'": {},
    "'input'": {"variable": "input"},
    "'sentence'": {"variable": "sentence"},
    "'something'": {"variable": "something"},
    "'{{text}}'": {"variable": "{{text}}"},
    "'{{text}}', choices '{{candidate}}'": {"variable": "{{text}}", "choices": "{{candidate}}"},
    "'text', choices 'candidate'": {"choices": "candidate"},
    "'text', choices 'options'": {"choices": "options"},
    "'text', choices removed": {"choices": " "},
    "'text', output part too": {"whole": True},
    "'text', literal answers removed": {"literals": False},
    "'text', first branch only": {"first_branch": True},
    "'text', runs merged": {"merged": True},
    "'text', no quotes": {"quotes": False},
    "'text', no labels such as Question:": {"labels": False},
    "'text', all five removals": {"literals": False, "first_branch": True, "merged": True, "quotes": False, "labels": False},
}


def first_branches(jinja: str) -> str:
    """The template without what stands in `elif` and `else`."""
    parts, kept, start = [], [], 0
    for match in BRANCH.finditer(jinja):
        if all(kept):
            parts.append(jinja[start : match.start()])
        if match[1] == "if":
            kept.append(True)
        elif match[1] == "endif" and kept:
            kept.pop()
        elif kept:
            kept[-1] = False
        start = match.end()
    return " ".join([*parts, jinja[start:] if all(kept) else ""])


def cleaned(
    template: PromptTemplate,
    *,
    variable: str = "text",
    choices: str | None = None,
    whole: bool = False,
    literals: bool = True,
    first_branch: bool = False,
    merged: bool = False,
    quotes: bool = True,
    labels: bool = True,
) -> str:
    """A template's text with every jinja variable replaced.

    Args:
        template: of promptsource.
        variable: what stands for a variable; `NAME`: the first name in its expression.
        choices: what stands for answer choices; None: as for any variable.
        whole: with the output's part of the template.
        literals: keep what expressions quote, such as answers.
        first_branch: of every `if`, only the first branch; else all of them, one after another.
        merged: replacements in a row become one.
        quotes: keep quotation marks.
        labels: keep labels such as `Question:`.
    """
    prompt, _, output = template.jinja.partition(SEPARATOR)
    jinja = f"{prompt} {output}" if whole else prompt

    def replacement(match: re.Match[str]) -> str:
        expression = match[1].strip()
        if literal := LITERAL.fullmatch(expression):
            return literal[1] if literals else " "
        word = choices if choices is not None and CHOICE.search(expression) else variable
        return " ".join(IDENTIFIER.findall(expression)[:1]).replace("_", " ") if word == NAME else word

    result = EXPRESSION.sub(replacement, STATEMENT.sub(" ", first_branches(jinja) if first_branch else jinja))
    result = result if labels else LABEL.sub(" ", result)
    result = " ".join((result if quotes else QUOTE.sub(" ", result)).split())
    if merged:
        result = re.sub(rf"({re.escape(variable)})([\s,;./-]+\1)+", r"\1", result)
    return result or variable


def prompt_frame(record: Mapping[str, Any], variable: str, choices: str | None) -> str:
    """A BIG-bench task's prompt as json_task.py writes it, with words in place of the input and of two choices."""
    prefix = record.get("choice_prefix", "\n  choice: ")
    options = f"{prefix}{choices or variable}" * 2 if record.get("append_choices_to_input", True) else ""
    start, end = record.get("example_input_prefix", "\nQ: "), record.get("example_output_prefix", "\nA: ")
    return f"{record.get('task_prefix') or ''} {start}{variable}{options}{end}"


def big_bench_texts(record: Mapping[str, Any], variable: str, choices: str | None) -> dict[str, list[str]]:
    """Way of saying a BIG-bench task -> its wordings; `variable` and `choices` as in `cleaned`."""
    variable = "text" if variable == NAME else variable
    description, prefix = record["description"], record.get("task_prefix") or ""
    frame = prompt_frame(record, variable, choices)
    ways = {
        "description": [description],
        "task prefix": [prefix or description],
        "description; task prefix": [description, prefix],
        "keywords": [", ".join(record["keywords"])],
        "prompt frame": [frame],
        "description; prompt frame": [description, frame],
        "description + prompt frame": [f"{description} {frame}"],
    }
    return {way: [" ".join(text.split()) for text in texts if text.strip()] for way, texts in ways.items()}


BIG_BENCH_WAYS = tuple(big_bench_texts({"description": "", "keywords": []}, "text", None))


def examples_text(record: Mapping[str, Any], count: int) -> str:
    """A SuperNI task's first positive examples, input and output."""
    return "\n".join(f"Input: {row['input']}\nOutput: {row['output']}" for row in record["Positive Examples"][:count])


def without_details(definition: str) -> str:
    """The definition's first sentence and those that state no detail of format or quality, without `In this task`."""
    first, *others = SENTENCE.split(definition)
    return OPENING.sub("", " ".join([first, *(sentence for sentence in others if not DETAIL.search(sentence))]))


SUPERNI: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {  # way of saying a SuperNI task -> its wordings
    "definition": lambda task: [task["Definition"][0]],
    "first sentence": lambda task: [OPENING.sub("", SENTENCE.split(task["Definition"][0])[0])],
    "without details": lambda task: [without_details(task["Definition"][0])],
    "every sentence": lambda task: [part for part in SENTENCE.split(task["Definition"][0]) if part.strip()],
    "definition + 2 examples": lambda task: [f"{task['Definition'][0]}\n{examples_text(task, 2)}"],
    "definition; with 2 examples": lambda task: [task["Definition"][0], f"{task['Definition'][0]}\n{examples_text(task, 2)}"],
    "summary": lambda task: [task.get("summary") or task["Definition"][0]],
    "summary; definition": lambda task: [task.get("summary") or task["Definition"][0], task["Definition"][0]],
    "category + definition": lambda task: [f"{task['Categories'][0]}. {task['Definition'][0]}"],
    "name + definition": lambda task: [f"{' '.join(task['task'].split('_')[1:])}. {task['Definition'][0]}"],
}


def bbh_texts(description: str, examples: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Way of saying a BIG-Bench-Hard task -> its wordings."""
    shown = "\n".join(f"Input: {row['input']}\nOutput: {row['target']}" for row in examples[:2])
    return {
        "description": [description],
        "description + 2 examples": [f"{description}\n{shown}"],
        "description; with 2 examples": [description, f"{description}\n{shown}"],
        "one input": [examples[0]["input"]],
        "10 inputs": [row["input"] for row in examples[:10]],
    }


BBH_WAYS = tuple(bbh_texts("", [{"input": "", "target": ""}]))
