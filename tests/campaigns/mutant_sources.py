"""The mutants of a module: its source with one node changed by an operator of mutmut."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators


@dataclass(frozen=True)
class Mutant:
    """One changed module.

    Attributes:
        key: of the changed program.
        module: path from the repository's root.
        line: of the changed node, from 1.
        text: that line.
        change: the node before and after.
        source: of the whole module, changed.
    """

    key: str
    module: str
    line: int
    text: str
    change: str
    source: str


class _Program(ast.NodeTransformer):
    """What of a module is mutated: not its docstrings, decorators and annotations, nor the texts of its exceptions, nor
    `strict` of a zip, which only checks the caller."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list, node.returns = [], None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        return self.generic_visit(node)


def program(source: str) -> str:
    """A form that two sources share if they differ in nothing that is mutated."""
    return ast.dump(_Program().visit(ast.parse(source)))


def changed_nodes(module: cst.Module) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """Each node that an operator changes, before and after, in the order of the source."""
    found: list[tuple[cst.CSTNode, cst.CSTNode]] = []
    statements = [part for line in module.body if isinstance(line, cst.SimpleStatementLine) for part in line.body]
    aliases = {part for part in statements if isinstance(part, cst.Assign) and isinstance(part.value, cst.Subscript)}  # of types

    class Visitor(cst.CSTVisitor):
        def on_visit(self, node: cst.CSTNode) -> bool:
            if node in aliases or isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
                return False
            for kind, operator in mutation_operators:
                if isinstance(node, kind):
                    found.extend((node, new) for new in operator(node))
            return True

    module.visit(Visitor())
    yield from found


def mutants_of(path: Path, root: Path, count: int, seed: int) -> list[Mutant]:
    """At most `count` mutants of a module, drawn with the seed; without those that leave its program or repeat another's."""
    source, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    lines, seen, mutants = source.splitlines(), {program(source)}, []
    wrapper = MetadataWrapper(cst.parse_module(source))
    module, positions = wrapper.module, wrapper.resolve(PositionProvider)
    changes = list(changed_nodes(module))
    for node, new in random.Random(f"{seed} {name}").sample(changes, len(changes)):
        if len(mutants) == count:
            break
        changed = module.deep_replace(node, new).code
        form = program(changed)
        if form in seen:
            continue
        seen.add(form)
        line = positions[node].start.line
        change = f"{' '.join(module.code_for_node(node).split())} -> {' '.join(module.code_for_node(new).split())}"
        key = sha256(f"{name}\n{form}".encode()).hexdigest()[:16]
        mutants.append(Mutant(key, name, line, lines[line - 1].strip(), change, changed))
    return sorted(mutants, key=lambda mutant: mutant.line)
