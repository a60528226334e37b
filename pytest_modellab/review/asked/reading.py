"""Expressions are read as far as their text tells what they are: constants, wherever they stand."""

from __future__ import annotations

import ast
import contextlib
import copy
import dataclasses
import importlib
import operator
from collections.abc import Callable, Mapping
from typing import Any

from pytest_modellab.records.hashing import digest
from pytest_modellab.review.asked.code import is_docstring, unparsed, without_names
from pytest_modellab.review.asked.modules import Function, Imported, Module, Modules, Named, named
from pytest_modellab.review.asked.values import Candidate, Tasks, Unknown, mark, plain

DEPTH = 12
"""How many names are followed one after another."""


LONGEST = 10_000
"""Items of a constant that is built."""


LONGEST_MARK = 1000
"""Characters of what an expression says, in the place of a name; of longer ones a digest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Local:
    """A function of the suites, or a class, and the module that it stands in."""

    node: Function | ast.ClassDef
    module: Module


@dataclasses.dataclass(frozen=True, eq=False)
class Param:
    """One set of parameters of a test: ``pytest.param("probability", marks=…)``.

    Attributes:
        value: its values; the value itself where it is one.
        marks: expressions of its marks.
        reader: of where they stand.
    """

    value: Any
    marks: tuple[ast.expr, ...]
    reader: Reader


@dataclasses.dataclass(frozen=True, eq=False)
class Package:
    """A module under a name."""

    module: Module


_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
}


class Reader:
    """Reads expressions of one module.

    Args:
        modules: of the same side.
        module: where the expressions stand.
        local: what names are known to be beside those of the module: arguments, loops.
        depth: how many names were followed so far.
    """

    def __init__(
        self, modules: Modules, module: Module, local: Mapping[str, Any] = {}, depth: int = 0
    ) -> None:
        self.modules = modules
        self.module = module
        self.local = dict(local)
        self.depth = depth

    def within(self, local: Mapping[str, Any] = {}) -> Reader:
        """Return the same with more names known."""
        return Reader(self.modules, self.module, {**self.local, **local}, self.depth)

    def elsewhere(self, module: Module, local: Mapping[str, Any] = {}) -> Reader:
        """Return a reader of another module, a name further."""
        return Reader(self.modules, module, local, self.depth + 1)

    def value(self, node: ast.expr | None) -> Any:
        """Return what an expression is: a constant, what stands for a fixture, or Unknown."""
        if node is None:
            return None
        try:
            found = self.known(node)
        except (
            *(TypeError, ValueError, KeyError, IndexError, ArithmeticError, AttributeError),
            RecursionError,
        ):
            found = None, False
        return found[0] if found[1] else self.unknown(node)

    def unknown(self, node: ast.expr) -> Unknown:
        """Return what an expression is that only a run would tell."""
        now = Reader(self.modules, self.module, self.local, self.depth)
        return Unknown(lambda: unparsed(node), lambda: now.mark(node))

    def mark(self, node: ast.AST) -> str:
        """Return what is the same for code that means the same, whatever its names are."""
        if self.depth >= DEPTH:
            return unparsed(node)
        return unparsed(_Plain(self).visit(copy.deepcopy(node)))

    def known(self, node: ast.expr) -> tuple[Any, bool]:
        """Return what an expression is, and whether that is known."""
        match node:
            case ast.Constant(value=value):
                return value, plain(value)
            case ast.Name(id=name):
                return self.name(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return self._items(items)
            case ast.Set(elts=items):
                values, known = self._items(items)
                return frozenset(values), known
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = [(self.value(k), self.value(v)) for k, v in zip(keys, values, strict=True)]
                return dict(pairs), plain(dict(pairs))
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(op, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._binary(op, self.value(left), self.value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                both = self.value(left), self.value(right)
                known = all(map(plain, both))
                return (_COMPARE[type(op)](*both) if known else None), known
            case ast.BoolOp(op=op, values=values):
                return self._bool(isinstance(op, ast.And), values)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                chosen = self.value(test)
                if plain(chosen):
                    return self.value(body if chosen else orelse), True
            case ast.Subscript(value=value, slice=index):
                both = self.value(value), self.value(index)
                if all(map(plain, both)):
                    return both[0][both[1]], True
            case ast.JoinedStr(values=values):
                return self._joined(values)
            case ast.Call():
                return self._call(node)
        return None, False

    def name(self, name: str) -> tuple[Any, bool]:
        """Return what a name stands for, and whether that is known."""
        if name in self.local:
            return self.local[name], True
        names = self.module.names
        if name not in names and self.depth < DEPTH:
            for found in names.values():
                if isinstance(found, Imported) and found.name == "*":
                    module = self.modules.imported(found.module, self.module.path)
                    if module is not None and name in module.names:
                        return self.elsewhere(module).standing(module.names[name])
        return self.standing(names.get(name))

    def standing(self, found: Named | None) -> tuple[Any, bool]:
        """Return what stands at the top of the module, and whether that is known."""
        if self.depth >= DEPTH:
            return None, False
        match found:
            case ast.expr():
                known = self.modules.known
                if found not in known:
                    known[found] = ITSELF  # a name that stands for itself
                    known[found] = _settled(self.elsewhere(self.module).value(found))
                value = known[found]
                return value, value is not ITSELF
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return Local(found, self.module), True
            case Imported(module=dotted, name=None):
                module = self.modules.imported(dotted, self.module.path)
                return (Package(module), True) if module else (None, False)
            case Imported(module=dotted, name=str(name)):
                within = self.modules.imported(f"{dotted.rstrip('.')}.{name}", self.module.path)
                module = self.modules.imported(dotted, self.module.path)
                if module is not None and name in module.names:
                    return self.elsewhere(module).standing(module.names[name])
                if within is not None:
                    return Package(within), True
                return _outside(dotted, name), True
        return None, False

    def _attribute(self, node: ast.Attribute) -> tuple[Any, bool]:
        owner = self.value(node.value)
        match owner, node.attr:
            case Package(module=module), name:
                return self.elsewhere(module).standing(module.names.get(name))
            case Local(node=ast.ClassDef()), name:
                place, members = self.members(owner)
                return place[name].standing(members[name]) if name in members else (None, False)
            case Candidate(spec=spec), "name":
                return spec.name, True
            case Candidate(spec=spec), "spec":
                return owner, True
            case Candidate(spec=spec), ("kind" | "strategy" | "base" | "model" | "targets"):
                return getattr(spec, node.attr), True
            case Tasks(name=name), "name":
                return name, True
        return None, False

    def members(self, class_: Local) -> tuple[dict[str, Reader], dict[str, Named]]:
        """What stands under each name of a class, and the readers of where that is, bases' too."""
        places: dict[str, Reader] = {}
        found: dict[str, Named] = {}
        if not isinstance(class_.node, ast.ClassDef) or self.depth >= DEPTH:
            return places, found
        within = self.elsewhere(class_.module)
        for base in reversed(class_.node.bases):
            other = within.value(base)
            if isinstance(other, Local):
                more, names = within.members(other)
                places, found = {**places, **more}, {**found, **names}
        own = named(class_.node.body)
        return {**places, **dict.fromkeys(own, within)}, {**found, **own}

    def _items(self, items: list[ast.expr]) -> tuple[Any, bool]:
        found: list[Any] = []
        for item in items:
            if isinstance(item, ast.Starred):
                several = self.value(item.value)
                if not isinstance(several, (tuple, frozenset)):
                    return (), False
                found += several
            else:
                found.append(self.value(item))
        return tuple(found), len(found) <= LONGEST

    def _unary(self, op: ast.unaryop, value: Any) -> tuple[Any, bool]:
        if not plain(value):
            return None, False
        if isinstance(op, ast.Not):
            return not value, True
        return (-value if isinstance(op, ast.USub) else +value), not isinstance(op, ast.Invert)

    def _binary(self, op: ast.operator, left: Any, right: Any) -> tuple[Any, bool]:
        if not (plain(left) and plain(right)):
            both = isinstance(left, tuple) and isinstance(right, tuple)
            return (left + right, True) if both and isinstance(op, ast.Add) else (None, False)
        if isinstance(op, ast.Mult) and not all(isinstance(v, (int, float)) for v in (left, right)):
            return None, False  # a text many times over
        return _OPERATORS[type(op)](left, right), True

    def _bool(self, all_: bool, values: list[ast.expr]) -> tuple[Any, bool]:
        result: Any = all_
        for node in values:
            result = self.value(node)
            if not plain(result):
                return None, False
            if bool(result) != all_:
                break
        return result, True

    def _joined(self, values: list[ast.expr]) -> tuple[Any, bool]:
        parts = []
        for part in values:
            if isinstance(part, ast.FormattedValue):
                if part.format_spec is not None or part.conversion != -1:
                    return None, False
                part = part.value
            value = self.value(part)
            if not plain(value):
                return None, False
            parts.append(str(value))
        return "".join(parts), True

    def _call(self, node: ast.Call) -> tuple[Any, bool]:
        """Follow a function that only returns an expression, and what builds constants."""
        function = self.value(node.func)
        if isinstance(function, Local) and isinstance(
            function.node, (ast.FunctionDef, ast.AsyncFunctionDef)
        ):
            return self.returned(function, node)
        match node:
            case ast.Call(func=ast.Attribute(attr="param"), args=args, keywords=keywords):
                values = tuple(self.value(one) for one in args)
                own = tuple(one.value for one in keywords if one.arg == "marks")
                return Param(values[0] if len(values) == 1 else values, own, self), True
            case ast.Call(func=ast.Name(id=name), args=[one], keywords=[]):
                value = self.value(one)
                if name in ("tuple", "list", "sorted") and isinstance(value, (tuple, frozenset)):
                    return tuple(sorted(value) if name == "sorted" else value), True
                if name in ("set", "frozenset") and isinstance(value, (tuple, frozenset)):
                    return frozenset(value), True
                if name == "float" and plain(value):
                    return float(value), True
            case ast.Call(func=ast.Attribute(attr="getfixturevalue"), args=[one]):
                name = self.value(one)
                return self.local.get(name), name in self.local
        return None, False

    def returned(self, function: Local, call: ast.Call | None) -> tuple[Any, bool]:
        """What a function gives back, where it does nothing else."""
        node = function.node
        body = [s for s in getattr(node, "body", []) if not is_docstring(s)]
        if self.depth >= DEPTH or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return None, False
        if len(body) != 1 or not isinstance(body[0], ast.Return):
            return None, False
        local = {} if call is None else self.bound(node, call)
        value = self.elsewhere(function.module, local).value(body[0].value)
        return value, not isinstance(value, Unknown)

    def bound(self, function: Function, call: ast.Call, *given: Any) -> dict[str, Any]:
        """Return what a call makes of a function's arguments; its defaults where it gives none."""
        spec = function.args
        names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
        defaults = zip(reversed(names), reversed(spec.defaults), strict=False)
        found: dict[str, Any] = {name: self.value(node) for name, node in defaults}
        for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            if default is not None:
                found[one.arg] = self.value(default)
        values = [*given]
        for argument in call.args:
            if isinstance(argument, ast.Starred):
                several = self.value(argument.value)
                values += several if isinstance(several, tuple) else []
            else:
                values.append(self.value(argument))
        found.update(zip(names, values, strict=False))
        known = {*names, *(one.arg for one in spec.kwonlyargs)}
        more: dict[str, Any] = {}  # what ``**more`` takes
        for keyword in call.keywords:
            value = self.value(keyword.value)
            if keyword.arg is not None:
                (found if keyword.arg in known else more)[keyword.arg] = value
            elif isinstance(value, dict):
                for name, one in value.items():
                    (found if name in known else more)[name] = one
        if spec.kwarg is not None:
            found[spec.kwarg.arg] = more
        return found


def _settled(value: Any) -> Any:
    """Work out what an expression says while the name that stands for it is looked up."""
    if not isinstance(value, Unknown) or isinstance(value, Outside):
        return value
    text = value.mark
    return Unknown(value.text, text if len(text) <= LONGEST_MARK else digest(text))


def _outside(dotted: str, name: str) -> Any:
    """What another package has under a name; the records of this one are constants."""
    text = f"{dotted}.{name}"
    if dotted.startswith("pytest_modellab.records."):
        with contextlib.suppress(ImportError, AttributeError):
            value = getattr(importlib.import_module(dotted), name)
            if plain(value):
                return value
    return Outside(text, text)


ITSELF = Unknown("itself", "itself")
"""What a name is while it is looked up."""


class Outside(Unknown):
    """What another package has, by a name that is the same everywhere."""


class _Plain(ast.NodeTransformer):
    """Puts constants in the place of the names that stand for them, functions by what they do."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            return node
        return self._known(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            return node
        found = self._known(node)
        return self.generic_visit(node) if found is node else found

    def _known(self, node: ast.Name | ast.Attribute) -> ast.AST:
        value, known = self._reader.known(node)
        if not known:
            return node
        if plain(value) or isinstance(value, Unknown):
            return ast.Name(mark(value), ast.Load())
        if isinstance(value, Local) and self._reader.depth < DEPTH:
            return ast.Name(f"<{digest_of(self._reader, value)}>", ast.Load())
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        return None if is_docstring(node) else self.generic_visit(node)


def digest_of(reader: Reader, function: Local) -> str:
    """Return what is the same for two functions that do the same, whatever they are called."""
    within, known = reader.elsewhere(function.module), reader.modules.known
    if function.node in known:
        return str(known[function.node])
    if within.depth >= DEPTH:
        return function.node.name
    known[function.node] = "itself"  # where it calls itself
    node = copy.deepcopy(function.node)
    node.name = "_"
    node.body = [s for s in node.body if not is_docstring(s)] or [ast.Pass()]
    without_names(node)
    known[function.node] = found = digest(within.mark(node))[:12]
    return found
