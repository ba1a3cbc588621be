"""Chat templates within bounds: what transformers' sandbox allows, and no more work than a conversation can need.

The sandbox keeps a template away from the machine, not from running for hours or filling the memory. Before transformers renders
a template, the same messages are rendered here, under the same names, where every turn and text is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import do_indent
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from instune.pools.bounded_jinja import BoundedEnvironment, RefusedError, size

CALL = 2_000  # units of a call of a macro or method, beside what it makes
NUMBER = re.compile(r"\d+")


class _Generation(Extension):
    """The tag around what is learned; here its content alone."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


class ChatEnvironment(BoundedEnvironment):
    """Jinja as transformers sets it up for chat templates: with macros, `tojson` and `.format`, each of them counted."""

    refused = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
    turn = 500  # units: long conversations with loops in loops

    def __init__(self) -> None:
        super().__init__()
        self.trim_blocks = self.lstrip_blocks = True
        for extension in (_Generation, loopcontrols):
            self.add_extension(extension)
        self.globals = {"range": self.globals["range"], "namespace": Namespace, "dict": dict}
        self.globals |= {"raise_exception": _raise, "strftime_now": str}
        self.add_filters({"tojson": self._tojson, "indent": self._indent})

    def _tojson(self, value: Any, ensure_ascii: bool = False, indent: int | None = None, **settings: Any) -> str:
        self.spend(size(value) * max(indent or 1, 1))
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **settings)

    def _indent(self, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        self.spend((text.count("\n") + 1) * (width if isinstance(width, int) else len(width)))
        return do_indent(text, width, first, blank)

    def call(__self, __context: Context, __obj: Any, *args: Any, **keywords: Any) -> Any:
        __self.spend(CALL)
        return super().call(__context, __obj, *args, **keywords)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            self._fill(left, right)
            return left % right
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Any:
        wrapped = ImmutableSandboxedEnvironment.wrap_str_format(self, value)
        if wrapped is not None:
            self._fill(value.__self__, None)
        return wrapped

    def _fill(self, text: str, values: Any) -> None:
        """Take the work of a format: every width that its text holds, and every value as often as it may stand there."""
        self.spend(sum(int(number[:20]) for number in NUMBER.findall(text)) + len(text) * size(values))


ENVIRONMENT = ChatEnvironment()
compiled = lru_cache(maxsize=64)(ENVIRONMENT.from_string)


def check_work(source: str, messages: Sequence[dict[str, str]], *, ask: bool, special: dict[str, str]) -> None:
    """Refuse a template that asks for too much on these messages; other faults are left to transformers.

    Args:
        ask: with the opening of an answer.
        special: the tokenizer's special tokens by name.

    Raises:
        RefusedError: too much work, or a loop or method whose work cannot be bounded.
    """
    try:
        template: Template = compiled(source)
        ENVIRONMENT.start()
        ENVIRONMENT.left += 2 * len(messages) * size(messages)  # many templates pass all messages on at every turn
        template.render(messages=messages, add_generation_prompt=ask, tools=None, documents=None, **special)
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError("macros that call each other without end") from None
    except Exception:  # whatever it is, transformers meets it too and says so
        return
