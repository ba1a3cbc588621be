"""promptsource's templates and how they render: https://github.com/bigscience-workshop/promptsource (arXiv 2202.01279).

    0edd8660-f299-4819-a5ac-633c11177228: !Template
      answer_choices: '{{choice1}} ||| {{choice2}}'
      jinja: '{{ premise }} {% if question == "cause" %} because... {% endif %} ||| {% if label != -1 %}{{ answer_choices[label] }}{%endif%}'
      metadata: !TemplateMetadata {original_task: true, metrics: [Accuracy], choices_in_prompt: true, languages: [en]}
      name: exercise

Jinja in a sandbox, within the bounds of bounded_jinja.py, split at `|||`, both parts stripped.
"""  # noqa: E501

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from jinja2 import TemplateError, pass_context
from jinja2.runtime import Context

from instune.pools.bounded_jinja import BoundedEnvironment, RefusedError
from instune.pools.fields import encodable, optional_text, optional_texts, text
from instune.pools.problems import BadRecord
from instune.shown import shown

SEPARATOR = "|||"
PROTECTED = "\ue000\ue001\ue000"  # private-use characters stand for a separator inside the data
EXPRESSION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
STATEMENT = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
LITERAL = re.compile(r"""["']([^"']*)["']""")
VARIABLE = "text"  # stands for every variable in a wording


@dataclass(frozen=True)
class PromptTemplate:
    """One promptsource template."""

    name: str
    jinja: str
    answer_choices: str | None
    original_task: bool
    metrics: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """Plain data; the two tags of promptsource are mappings."""


for _tag in ("!Template", "!TemplateMetadata"):
    _Loader.add_constructor(_tag, lambda loader, node: loader.construct_mapping(node, deep=True))


def drawn_number(text: str) -> int:
    """A number that looks drawn, the same on every machine."""
    return zlib.crc32(text.encode("utf-8", errors="surrogatepass"))


@pass_context
def _choice(context: Context, values: Any) -> Any:
    """promptsource's filter `choice`, there unseeded; here drawn by the row's own values."""
    values, row = list(values), context.parent
    columns = sorted(row.keys() - ENVIRONMENT.globals.keys())
    return values[drawn_number(repr([row[key] for key in columns])) % len(values)]


def _most_frequent(items: list[Any]) -> list[Any]:
    """promptsource's filter `most_frequent`: the items that are as frequent as the most frequent one."""
    counts = Counter(items).most_common()
    return [item for item, count in counts if count == counts[0][1]]


def _environment() -> BoundedEnvironment:
    environment = BoundedEnvironment()
    environment.globals = {"zip": zip, "range": environment.globals["range"]}
    environment.add_filters({"choice": _choice, "most_frequent": _most_frequent})
    return environment


ENVIRONMENT = _environment()
compiled = lru_cache(maxsize=1000)(ENVIRONMENT.from_string)


def parse_templates(data: bytes) -> tuple[str, list[PromptTemplate]]:
    """The dataset's name, `dataset` or `dataset/subset`, and its templates by name.

    Raises:
        BadRecord: not YAML, or not promptsource's fields.
    """
    try:
        record = yaml.load(data.decode("utf-8-sig"), Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, no such date
        raise BadRecord("not valid YAML", shown(str(error))) from None
    if not isinstance(record, dict) or not isinstance(record.get("templates"), dict):
        raise BadRecord("templates: expected templates by id", shown(record))
    templates = []
    for key, item in record["templates"].items():
        metadata = item.get("metadata", {}) if isinstance(item, dict) else None
        if not isinstance(metadata, dict):
            raise BadRecord("templates: expected templates with metadata by id", shown(key))
        templates.append(
            PromptTemplate(
                text(item, "name"),
                text(item, "jinja"),
                optional_text(item, "answer_choices") or None,
                bool(metadata.get("original_task")),
                tuple(optional_texts(metadata, "metrics")),
            )
        )
    subset = optional_text(record, "subset")
    name = text(record, "dataset") + (f"/{subset}" if subset else "")
    return name, sorted(templates, key=lambda template: template.name)


def _protected(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(SEPARATOR, PROTECTED)
    if isinstance(value, Mapping):
        return {key: _protected(item) for key, item in value.items()}
    return [_protected(item) for item in value] if isinstance(value, list) else value


def _parts(source: str, row: Mapping[str, Any]) -> list[str]:
    template = compiled(source)
    ENVIRONMENT.start()
    rendered = template.render(row)
    return [encodable("row", part.replace(PROTECTED, SEPARATOR).strip()) for part in rendered.split(SEPARATOR)]


def apply(template: PromptTemplate, row: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...] | None]:
    """Prompt, target and choices of a row, as promptsource's `Template.apply` and `get_answer_choices_list` give them.

    Raises:
        BadRecord: the template does not apply to the row: no target, an empty one, a variable that the row does not have,
            or too much work.
    """
    try:
        variables = _protected(row)
        choices = None if template.answer_choices is None else _parts(template.answer_choices, variables)
        parts = _parts(template.jinja, {**variables, "answer_choices": choices})
    except RefusedError as error:
        raise BadRecord(f"template {template.name!r}: {error.message}") from None
    except (
        TemplateError,
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        IndexError,
        ZeroDivisionError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise BadRecord(f"template {template.name!r}: fails on the row", f"{type(error).__name__}: {shown(str(error))}") from None
    if len(parts) < 2 or not parts[1]:
        raise BadRecord(f"template {template.name!r}: no output for the row")
    target = parts[1]
    return parts[0], target, tuple(choices) if choices and target in choices else None


def _replacement(match: re.Match[str]) -> str:
    """What stands for an expression: a literal's text, or `text`."""
    literal = LITERAL.fullmatch(match[1].strip())
    return literal[1] if literal else VARIABLE


def wording(template: PromptTemplate) -> str:
    """The template's prompt with `text` for each variable; literals and the texts of all branches are kept.

    Chosen and seen on the same six P3 targets (`python -m tools.fidelity`): with field names instead, 1.08 fewer of 5 tasks agree
    with INSTA's published ones, paired difference -1.08 [-2.25, 0.09]. No difference is not excluded.
    """
    prompt = STATEMENT.sub(" ", template.jinja.partition(SEPARATOR)[0])
    return " ".join(EXPRESSION.sub(_replacement, prompt).split())
