"""Jinja in a sandbox whose templates end soon and stay small, whatever they ask for.

Every rendering has `WORK` units: a character or item that is made or passed on is one, a turn of a loop is `TURN` and its literal
text. Left out of the language, and in no template of promptsource: macros, recursive loops, `"..." % x`, `.format`, and the
filters `indent` and `tojson`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sized
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import do_format
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

WORK = 10**8
TURN = 10_000
REFUSED = (nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
NUMBER = re.compile(r"\d+")


class RefusedError(SecurityError):
    """What a template asks for and does not get; the message is the same for every row."""


def size(value: Any) -> int:
    """Number of characters or items; of a list, those of its texts too."""
    if isinstance(value, list | tuple):
        return len(value) + sum(len(item) for item in value if isinstance(item, str))
    return len(value) if isinstance(value, Sized) else 1


def _words(number: int) -> int:
    return number.bit_length() // 64 + 1


def _operation(operator: str, left: Any, right: Any) -> int:
    """Work of an operation, at least as much as its result is large."""
    if isinstance(left, int) and isinstance(right, int):
        power = (_words(left) * max(right, 1)) ** 2 if abs(left) > 1 else 1
        return {"**": power, "*": _words(left) * _words(right)}.get(operator, 1)
    if operator == "*" and isinstance(left, int):
        left, right = right, left
    return size(left) * max(right, 1) if operator == "*" and isinstance(right, int) else size(left) + size(right)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Each rendering is preceded by `start`.

    Attributes:
        left: units of work left to the rendering.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__()
        self.left = WORK
        for name in ("indent", "tojson"):
            del self.filters[name]

    def start(self) -> None:
        """Give the next rendering its work."""
        self.left = WORK

    def spend(self, work: int) -> None:
        """Take work from what is left.

        Raises:
            RefusedError: there is not so much.
        """
        self.left -= work
        if self.left < 0:
            raise RefusedError("too much work: a loop, a text or a number is too large")

    def add_filters(self, filters: dict[str, Callable[..., Any]]) -> None:
        """Further filters; call it once, last."""
        self.filters = {name: self._bounded(function) for name, function in (self.filters | filters).items()}
        passed = pass_context(lambda _, value: self._passed(value))
        self.filters |= {" turns": self._turns(), " passed": passed}  # names that no template can write

    def _spend_on_call(self, own: Any, given: list[Any]) -> None:
        """A method or filter makes at most one of its largest argument for each character or item of its own, or fills up."""
        numbers = sum(abs(value) for value in given if isinstance(value, int))
        self.spend(size(own) * max([size(value) for value in given], default=1) + numbers)

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **keywords: Any) -> Any:
            own, *given = [value for value in args if not isinstance(value, Context | nodes.EvalContext | BoundedEnvironment)]
            if function is do_format:
                self.spend(sum(int(number[:20]) for number in NUMBER.findall(str(own))))
            self._spend_on_call(own, [*given, *keywords.values()])
            return self._passed(function(*args, **keywords))

        return bounded

    def _turns(self) -> Callable[..., Any]:
        @pass_context  # or it would be called once, by the compiler
        def turns(_context: Context, values: Iterable[Any], cost: int) -> list[Any]:
            found = []
            for value in values:
                self.spend(cost)
                found.append(value)
            return found

        return turns

    def _passed(self, value: Any) -> Any:
        self.spend(size(value))
        return value

    def call(__self, __context: Context, __obj: Any, *args: Any, **keywords: Any) -> Any:
        own = __obj.__self__ if isinstance(__obj, BuiltinMethodType) else ""
        __self._spend_on_call(own, [*args, *keywords.values()])
        return __self._passed(super().call(__context, __obj, *args, **keywords))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise RefusedError("text % values is not allowed; use the filter format")
        self.spend(_operation(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        if super().wrap_str_format(value) is not None:
            raise RefusedError("str.format is not allowed; use the filter format")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if refused := next(tree.find_all(REFUSED), None):
            raise RefusedError(f"{type(refused).__name__} is not allowed")
        for loop in list(tree.find_all(nodes.For)):
            if loop.recursive:
                raise RefusedError("a recursive loop is not allowed")
            cost = nodes.Const(TURN + sum(len(text.data) for text in loop.find_all(nodes.TemplateData)))
            loop.iter = nodes.Filter(loop.iter, " turns", [cost], [], None, None, lineno=loop.lineno)
        for node in list(tree.find_all((nodes.Output, nodes.Concat))):
            node.nodes = [
                part
                if isinstance(part, nodes.TemplateData)
                else nodes.Filter(part, " passed", [], [], None, None, lineno=node.lineno)
                for part in node.nodes
            ]
        return tree
