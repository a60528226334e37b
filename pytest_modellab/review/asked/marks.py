"""The marks of a test: its own, its class's and its module's, the nearest first."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.review.asked.modules import Function, Imported, Named
from pytest_modellab.review.asked.reading import Reader
from pytest_modellab.review.asked.values import Unknown, plain

HARMLESS = ("allure.", "staticmethod")
"""How decorators begin that do nothing to a test."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mark:
    """One mark.

    Attributes:
        name: ``skip``; empty where only a run would tell.
        args: what it is called with.
        kwargs: by name.
        node: its expression.
        reader: of the module that the expression stands in.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    node: ast.expr
    reader: Reader

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.node.lineno


def of(reader: Reader, nodes: Sequence[ast.expr]) -> Iterator[Mark]:
    """Read the marks that expressions stand for: decorators, or what ``pytestmark`` is."""
    for node in nodes:
        yield from _marks(reader, node, 0)


def _marks(reader: Reader, node: ast.expr, depth: int) -> Iterator[Mark]:
    if depth > 5:
        return
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            for item in items:
                inner = item.value if isinstance(item, ast.Starred) else item
                yield from _marks(reader, inner, depth + 1)
            return
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _marks(reader, left, depth + 1)
            yield from _marks(reader, right, depth + 1)
            return
    call = node if isinstance(node, ast.Call) else None
    target = call.func if call is not None else node
    name = _name(target)
    if name is not None:
        yield _made(reader, name, call, node)
        return
    found, where = _follow(reader, target)
    if isinstance(found, ast.expr):
        if call is None:
            yield from _marks(where, found, depth + 1)
            return
        name = _name(found)  # probes = pytest.mark.task_set; @probes("words")
        yield _made(reader, name or "", call, node)
    elif isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)) and call is not None:
        returned = [s.value for s in found.body if isinstance(s, ast.Return) and s.value]
        local = where.bound(found, call)
        made = [*_marks(where.within(local), returned[0], depth + 1)] if returned else []
        yield from made or [_made(reader, "", call, node)]
    else:
        yield _made(reader, "", call, node)


def _follow(reader: Reader, node: ast.expr) -> tuple[Named | None, Reader]:
    """Find what a name stands for at a module's top, through imports."""
    module = reader.module
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        imported = module.names.get(node.value.id)
        if isinstance(imported, Imported):
            dotted = imported.module
            if imported.name is not None:
                dotted = (
                    f"{dotted}.{imported.name}" if dotted.strip(".") else dotted + imported.name
                )
            if other := reader.modules.imported(dotted, module.path):
                return other.names.get(node.attr), reader.elsewhere(other)
    found = module.names.get(node.id) if isinstance(node, ast.Name) else None
    for _ in range(5):
        if not isinstance(found, Imported) or found.name is None:
            break
        other = reader.modules.imported(found.module, module.path)
        if other is None:
            return None, reader
        module, found = other, other.names.get(found.name)
    return found, reader if module is reader.module else reader.elsewhere(module)


def _name(node: ast.expr) -> str | None:
    """Return the name of ``pytest.mark.NAME`` and of ``mark.NAME``."""
    match node:
        case ast.Attribute(value=ast.Attribute(attr="mark"), attr=name):
            return name
        case ast.Attribute(value=ast.Name(id="mark"), attr=name):
            return name
    return None


def _made(reader: Reader, name: str, call: ast.Call | None, node: ast.expr) -> Mark:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for argument in call.args if call is not None else ():
        if isinstance(argument, ast.Starred):
            several = reader.value(argument.value)
            args += several if isinstance(several, (tuple, frozenset)) else [several]
        else:
            args.append(reader.value(argument))
    for keyword in call.keywords if call is not None else ():
        value = reader.value(keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value, dict):
            kwargs.update(value)
    return Mark(name, tuple(args), kwargs, node, reader)


def of_function(reader: Reader, function: Function, classes: Sequence[ast.ClassDef]) -> list[Mark]:
    """Return all marks of a test, the nearest first, as pytest looks for them."""
    found = [*of(reader, function.decorator_list[::-1])]
    for class_ in reversed(classes):
        found += of(reader, class_.decorator_list[::-1])
        found += of(reader, _assigned(class_.body))
    found += of(reader, _assigned(reader.module.tree.body))
    return found


def _assigned(body: Sequence[ast.stmt]) -> list[ast.expr]:
    from pytest_modellab.review.asked.modules import named

    found = named([*body]).get("pytestmark")
    return [found] if isinstance(found, ast.expr) else []


def closest(marks: Sequence[Mark], name: str) -> Mark | None:
    """Return the nearest mark of a name."""
    return next((mark for mark in marks if mark.name == name), None)


def conditions(marks: Sequence[Mark], deselected: frozenset[str]) -> tuple[bool, tuple[str, ...]]:
    """Tell whether marks keep a test from running, and under which conditions they do.

    Args:
        marks: of the test.
        deselected: names of marks that a run leaves out.
    """
    skipped, found = False, []
    for mark in marks:
        match mark.name:
            case "skip":
                skipped = True
            case "skipif":
                state = mark.args[0] if mark.args else mark.kwargs.get("condition")
                if isinstance(state, (Unknown, str)):
                    found.append(f"skipif {state if isinstance(state, str) else state.mark}")
                elif plain(state) and state:
                    skipped = True
            case "":
                text = mark.reader.mark(mark.node)
                if not text.startswith(HARMLESS):
                    found.append(f"decorated {text}")
            case "xfail":
                state = mark.args[0] if mark.args else mark.kwargs.get("condition", True)
                if not plain(state) or state:
                    found.append("xfail")
            case "variants" | "task_set":
                named = (*mark.args, *mark.kwargs.values())
                unknown = (one.mark for one in named if isinstance(one, Unknown))
                found += [f"{mark.name} of {text}" for text in unknown]
            case name if name in deselected:
                found.append(f"mark {name}")
    return skipped, tuple(found)
