"""Jinja in a sandbox whose templates end soon and stay small, whatever they ask for.

Every rendering has `WORK` units: a character or item that is made or passed on is one, a turn of a loop is `TURN` and its literal
text. A list counts whole, with all that it holds, each time one is written that holds values: nested ones would grow without
bound. Left out of the language, and in no template of promptsource: macros, recursive loops, `"..." % x`, `.format`,
`.expandtabs`, `.translate`, and the filters `indent` and `tojson`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sized
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import do_format, do_pprint, do_striptags, do_sum, do_urlize, do_wordwrap, do_xmlattr
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

WORK = 10**8
TURN = 10_000
NESTED = 2_000  # of a list or mapping inside another
METHODS = ("expandtabs", "translate")  # of text; their result may be of any size
SLOW, SLOW_FACTOR = (do_pprint, do_striptags, do_urlize, do_wordwrap, do_xmlattr), 200
SCOPES = ("_block_vars", "_loop_vars")  # Jinja's own keywords of a call
CONSTANT = (nodes.Const, nodes.TemplateData, nodes.List, nodes.Tuple, nodes.Dict)
LITERALS = (nodes.List, nodes.Tuple, nodes.Dict)
REFUSED = (nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
NUMBER = re.compile(r"\d+")


class RefusedError(SecurityError):
    """What a template asks for and does not get; the message is the same for every row."""


def size(value: Any) -> int:
    """Number of characters or items; of a list or mapping, of all that it holds, as far as there is work."""
    if not isinstance(value, list | tuple | dict):
        return len(value) if isinstance(value, Sized) else 1
    total, waiting = -NESTED, [value]
    while waiting and total <= WORK:
        inside = waiting.pop()
        items = [*inside, *inside.values()] if isinstance(inside, dict) else inside
        total += len(items) + NESTED
        for item in items:
            if isinstance(item, str):
                total += len(item)
            elif isinstance(item, list | tuple | dict):
                waiting.append(item)
            elif isinstance(item, Namespace):  # it may hold the list in turn
                return WORK + 1
    return total


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
        refused: what no template may hold.
        turn: units of a turn of a loop, beside its literal text.
        left: units of work left to the rendering.
    """

    refused, turn = REFUSED, TURN
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
        items = size(own) if isinstance(own, str) else len(own) if isinstance(own, Sized) else 1
        self.spend(size(own) + items * max([size(value) for value in given], default=1) + numbers)

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **keywords: Any) -> Any:
            own, *given = [value for value in args if not isinstance(value, Context | nodes.EvalContext | BoundedEnvironment)]
            if function in SLOW:
                self.spend(SLOW_FACTOR * size(own))
            if function is do_sum and not isinstance(keywords.get("start", given[1] if len(given) > 1 else 0), int | float):
                raise RefusedError("a sum of anything but numbers is not allowed")
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
        own, name = (__obj.__self__, __obj.__name__) if isinstance(__obj, BuiltinMethodType) else ("", "")
        if isinstance(own, str) and name in METHODS:
            raise RefusedError(f"str.{name} is not allowed")
        __self._spend_on_call(own, [*args, *(value for key, value in keywords.items() if key not in SCOPES)])
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
        if refused := next(tree.find_all(self.refused), None):
            raise RefusedError(f"{type(refused).__name__} is not allowed")
        for loop in list(tree.find_all(nodes.For)):
            if loop.recursive:
                raise RefusedError("a recursive loop is not allowed")
            cost = nodes.Const(self.turn + sum(len(text.data) for text in loop.find_all(nodes.TemplateData)))
            loop.iter = nodes.Filter(loop.iter, " turns", [cost], [], None, None, lineno=loop.lineno)
        for node in list(tree.find_all((nodes.Output, nodes.Concat))):
            node.nodes = [
                part
                if isinstance(part, nodes.TemplateData)
                else nodes.Filter(part, " passed", [], [], None, None, lineno=node.lineno)
                for part in node.nodes
            ]
        return _Counted().visit(tree)


class _Counted(NodeTransformer):
    """Lists and mappings that hold anything but constants are passed on, and so counted, where they are written."""

    def generic_visit(self, node: nodes.Node, *args: Any, **keywords: Any) -> nodes.Node:
        node = super().generic_visit(node, *args, **keywords)
        stored = isinstance(node, nodes.Tuple) and node.ctx != "load"
        if not isinstance(node, LITERALS) or stored or all(isinstance(part, CONSTANT) for part in node.find_all(nodes.Expr)):
            return node
        return nodes.Filter(node, " passed", [], [], None, None, lineno=node.lineno)
