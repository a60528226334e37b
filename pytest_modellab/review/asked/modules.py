"""Modules as text: what stands under a name at their top, in themselves or where it is imported."""

from __future__ import annotations

import ast
import dataclasses
import functools
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pytest_modellab.review.files import Files, above, joined

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"


@dataclasses.dataclass(frozen=True)
class Imported:
    """A name that another module has.

    Attributes:
        module: the module, dotted; it may begin with dots.
        name: the name in it, or None for the module itself.
    """

    module: str
    name: str | None


Named: TypeAlias = "ast.expr | Function | ast.ClassDef | Imported"


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A file of Python.

    Attributes:
        path: from the top.
        tree: what stands in it.
    """

    path: str
    tree: ast.Module

    @functools.cached_property
    def names(self) -> Mapping[str, Named]:
        """What stands under each name of the top level, the last one where there are several."""
        return named(self.tree.body)


def named(body: list[ast.stmt]) -> dict[str, Named]:
    """Return what stands under each name of a module's or a class's body."""
    found: dict[str, Named] = {}
    for statement in statements(body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = statement
            case ast.ClassDef(name=name):
                found[name] = statement
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    found.update(_assigned(target, value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                if isinstance(before := found.get(name), ast.expr):
                    found[name] = ast.BinOp(before, op, value)
            case ast.Import(names=names):
                for one in names:
                    top = one.name.split(".")[0]
                    found[one.asname or top] = Imported(one.name if one.asname else top, None)
            case ast.ImportFrom(module=module, names=names, level=level):
                for one in names:
                    place = "." * level + (module or "")
                    key = f"* {place}" if one.name == "*" else one.asname or one.name
                    found[key] = Imported(place, one.name)
    return found


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements of a body, also those under ``if`` and ``try`` at its level."""
    for statement in body:
        match statement:
            case ast.If(body=first, orelse=second):
                yield from statements([*first, *second])
            case ast.Try(body=first, handlers=handlers, orelse=second, finalbody=last):
                yield from statements(first)
                for handler in handlers:
                    yield from statements(handler.body)
                yield from statements([*second, *last])
            case _:
                yield statement


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, Named]:
    match target, value:
        case ast.Name(id=name), _:
            return {name: value}
        case (
            ast.Tuple(elts=names) | ast.List(elts=names),
            ast.Tuple(elts=values) | ast.List(elts=values),
        ) if len(names) == len(values):
            found: dict[str, Named] = {}
            for one, other in zip(names, values, strict=True):
                found.update(_assigned(one, other))
            return found
    return {}


class Modules:
    """The modules of one side.

    Args:
        files: where they are read.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._found: dict[str, Module | None] = {}
        self._imported: dict[tuple[str, str], Module | None] = {}
        self.broken: list[str] = []
        self.known: dict[object, Any] = {}
        """What names and functions were found to be; each is looked at once."""

    def at(self, path: str) -> Module | None:
        """Return the module of a file, None where there is none or it is no Python."""
        if path not in self._found:
            text = self.files.text(path)
            try:
                module = None if text is None else Module(path, ast.parse(text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                module = None
                self.broken.append(path)
            self._found[path] = module
        return self._found[path]

    def imported(self, dotted: str, importer: str) -> Module | None:
        """Find a module of the same repository by the name that another imports it by."""
        folder = posixpath.dirname(importer)
        if (folder, dotted) not in self._imported:
            self._imported[folder, dotted] = self._find(dotted, folder)
        return self._imported[folder, dotted]

    def _find(self, dotted: str, folder: str) -> Module | None:
        level = len(dotted) - len(dotted.lstrip("."))
        if level:
            for _ in range(level - 1):
                folder = posixpath.dirname(folder)
            folders = [folder]
        else:
            folders = [*above(folder), *(joined(one, "src") for one in above(folder))]
        parts = [part for part in dotted.split(".") if part]
        for start in folders:
            base = posixpath.join(start, *parts)
            for path in (joined(base, "__init__.py"), f"{base}.py"):  # as Python looks
                if found := self.at(path):
                    return found
        return None
