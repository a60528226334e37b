"""What a test asks of the gate, for one variant on one task set, and on which conditions."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.review.asked.code import unparsed
from pytest_modellab.review.asked.reading import Local, Reader, digest_of
from pytest_modellab.review.asked.values import GATE, Unknown, mark, plain, words

DEEPEST = 8
"""How many functions are followed that call one another."""


STEPS = 20_000
"""Statements of one test that are gone through."""


MOST = 2000
"""Questions of one test at most; a loop over more is not followed."""


LEAVING = ("skip", "xfail", "exit", "fail")
"""Functions of pytest that end a test."""


CATCHING = ("raises", "suppress", "warns")
"""Context managers that keep a block from failing its test."""


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One question.

    Attributes:
        assertion: ``no_regression``, say.
        settings: keyword arguments, and ``candidate``.
        conditions: under which it is asked, beside those of the test's marks.
        line: where it stands.
        path: the file.
    """

    assertion: str
    settings: Mapping[str, Any]
    conditions: tuple[str, ...]
    line: int
    path: str


class Ended(Exception):
    """The function is over at this statement, or the turn of a loop."""


class Left(Ended):
    """The whole test is over: ``pytest.skip()``."""


class Walk:
    """Goes through a test's body in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._steps = 0
        self._pending: tuple[str, ...] = ()

    def function(
        self, reader: Reader, body: Sequence[ast.stmt], conditions: tuple[str, ...], depth: int
    ) -> None:
        """Go through a function's body; its end is no end of the test.

        Raises:
            Left: it ends the test.
        """
        try:
            self.body(reader, body, conditions, depth)
        except Left:
            raise
        except Ended:
            return

    def body(
        self, reader: Reader, body: Sequence[ast.stmt], conditions: tuple[str, ...], depth: int
    ) -> tuple[str, ...]:
        """Go through statements; returns the conditions that hold behind them."""
        for statement in body:
            self._steps += 1
            if self._steps > STEPS:
                raise RecursionError("a test does too much to be read")
            conditions = self._statement(reader, statement, conditions, depth)
            conditions, self._pending = (*conditions, *self._pending), ()
        return conditions

    def _statement(
        self, reader: Reader, node: ast.stmt, conditions: tuple[str, ...], depth: int
    ) -> tuple[str, ...]:
        match node:
            case ast.If():
                return self._if(reader, node, conditions, depth)
            case ast.For(target=target, iter=several, body=body, orelse=orelse):
                self._for(reader, (target, several, body), conditions, depth)
                return self.body(reader, orelse, conditions, depth)
            case ast.While(test=test, body=body):
                self._guarded(reader, body, (*conditions, f"while {reader.mark(test)}"), depth)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                caught = []
                for item in items:
                    self._expression(reader, item.context_expr, conditions, depth)
                    if _called(item.context_expr) in CATCHING:
                        caught.append(f"in {reader.mark(item.context_expr)}")
                return self.body(reader, body, (*conditions, *caught), depth)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                caught = [
                    f"in try, except {unparsed(h.type) if h.type else 'all'}"
                    for h in handlers
                    if not _raises(h.body)
                ]
                within = (*conditions, *caught)
                self.body(reader, body, within, depth)
                self.body(reader, orelse, within, depth)
                return self.body(reader, final, conditions, depth)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                reader.local[node.name] = Local(node, reader.module)
            case ast.Assign(targets=targets, value=value):
                self._expression(reader, value, conditions, depth)
                found = reader.value(value)
                for target in targets:
                    _bind(reader, target, found)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._expression(reader, value, conditions, depth)
                reader.local[name] = reader.value(value)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                both = ast.BinOp(ast.Name(name, ast.Load()), op, value)
                reader.local[name] = reader.value(ast.copy_location(both, node))
            case ast.Return(value=value):
                if value is not None:
                    self._expression(reader, value, conditions, depth)
                raise Ended
            case ast.Raise() | ast.Continue() | ast.Break():
                raise Ended
            case ast.Expr(value=value) | ast.Assert(test=value):
                self._expression(reader, value, conditions, depth)
                called = _called(value)
                if called in LEAVING and isinstance(value, ast.Call) and _pytest(value.func):
                    raise Left
                if called == "importorskip":
                    return (*conditions, reader.mark(value))
        return conditions

    def _if(
        self, reader: Reader, node: ast.If, conditions: tuple[str, ...], depth: int
    ) -> tuple[str, ...]:
        chosen = reader.value(node.test)
        if plain(chosen):
            return self.body(reader, node.body if chosen else node.orelse, conditions, depth)
        text = reader.mark(node.test)
        before = dict(reader.local)
        ended = []
        after = []
        for body, condition in ((node.body, f"if {text}"), (node.orelse, f"unless {text}")):
            reader.local = dict(before)
            ended.append(self._guarded(reader, body, (*conditions, condition), depth))
            after.append(reader.local)
        reader.local = _joined(after[0], after[1], text, ended)
        if all(ended):
            raise Ended
        if ended[0]:
            return (*conditions, f"unless {text}")
        return (*conditions, f"if {text}") if ended[1] else conditions

    def _guarded(
        self, reader: Reader, body: Sequence[ast.stmt], conditions: tuple[str, ...], depth: int
    ) -> bool:
        """Go through statements; returns whether the test, or the loop's turn, ends in them."""
        try:
            self.body(reader, body, conditions, depth)
        except Ended:
            return True
        return False

    def _for(
        self,
        reader: Reader,
        loop: tuple[ast.expr, ast.expr, Sequence[ast.stmt]],
        conditions: tuple[str, ...],
        depth: int,
    ) -> None:
        target, several, body = loop
        self._expression(reader, several, conditions, depth)
        values = reader.value(several)
        if isinstance(values, dict):
            values = tuple(values)
        if isinstance(values, (tuple, frozenset)) and len(values) <= MOST:
            for value in values:
                if len(self.calls) >= MOST:
                    return
                _bind(reader, target, value)
                self._guarded(reader, body, conditions, depth)
            return
        text = reader.mark(several)
        _bind(reader, target, Unknown(f"each of {unparsed(several)}", f"each of {text}"))
        self._guarded(reader, body, conditions, depth)

    def _expression(
        self, reader: Reader, node: ast.expr, conditions: tuple[str, ...], depth: int
    ) -> None:
        """Find what an expression asks of the gate, itself and in the functions that it calls."""
        match node:
            case ast.BoolOp(op=op, values=values):
                for value in values:
                    self._expression(reader, value, conditions, depth)
                    word = "if" if isinstance(op, ast.And) else "unless"
                    known = reader.value(value)
                    if plain(known):
                        if bool(known) != isinstance(op, ast.And):
                            return
                    else:
                        conditions = (*conditions, f"{word} {reader.mark(value)}")
                return
            case ast.IfExp(test=test, body=body, orelse=orelse):
                text = reader.mark(test)
                self._expression(reader, body, (*conditions, f"if {text}"), depth)
                self._expression(reader, orelse, (*conditions, f"unless {text}"), depth)
                return
            case ast.ListComp(elt=elt, generators=[one]) | ast.SetComp(elt=elt, generators=[one]):
                alone: list[ast.stmt] = [ast.copy_location(ast.Expr(elt), node)]
                within = reader.within()
                guards = tuple(f"if {within.mark(guard)}" for guard in one.ifs)
                self._for(within, (one.target, one.iter, alone), (*conditions, *guards), depth)
                return
            case ast.Lambda():
                return
            case ast.Call():
                self._call(reader, node, conditions, depth)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._expression(reader, child, conditions, depth)
            elif isinstance(child, ast.keyword):
                self._expression(reader, child.value, conditions, depth)

    def _call(
        self, reader: Reader, node: ast.Call, conditions: tuple[str, ...], depth: int
    ) -> None:
        if isinstance(node.func, ast.Attribute) and reader.value(node.func.value) == GATE:
            self._ask(reader, node, node.func.attr, conditions)
            return
        function = reader.value(node.func)
        owner = reader.value(node.func.value) if isinstance(node.func, ast.Attribute) else None
        given = (owner,) if isinstance(owner, Local) else ()  # a method of the test's class
        if not isinstance(function, Local) or depth >= DEEPEST:
            return
        if not isinstance(function.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        local = reader.bound(function.node, node, *given)
        nested = any(function is one for one in reader.local.values())
        leaves = may_leave(function)
        if not (nested or leaves or any(_is_gate(value) for value in local.values())):
            return  # without the gate it asks nothing
        if function.module is reader.module:
            local = {**_functions(reader), **local}
        if nested:  # it sees what stands around it
            local = {**reader.local, **local}
        within = reader.elsewhere(function.module, local)
        within.depth = reader.depth
        self.function(within, function.node.body, conditions, depth + 1)
        if leaves:
            self._pending = (*self._pending, f"behind <{digest_of(reader, function)}>")

    def _ask(
        self, reader: Reader, node: ast.Call, assertion: str, conditions: tuple[str, ...]
    ) -> None:
        values = [reader.value(argument) for argument in node.args]
        if assertion == "judge" and values:
            assertion = str(values.pop(0))
        settings: dict[str, Any] = {"candidate": values[0]} if values else {}
        for keyword in node.keywords:
            value = reader.value(keyword.value)
            if keyword.arg is not None:
                settings[keyword.arg] = value
            elif isinstance(value, dict):
                settings.update(value)
            else:
                settings["**"] = value
        found = Call(assertion, settings, conditions, node.lineno, reader.module.path)
        if len(self.calls) < MOST:
            self.calls.append(found)


def may_leave(function: Local) -> bool:
    """Whether a function of the suites ends tests, or changes what they call."""
    for node in ast.walk(function.node):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="pytest"), attr=name)):
                if name in LEAVING:
                    return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr")):
                return True
    return False


def _is_gate(value: Any) -> bool:
    return value == GATE or (isinstance(value, tuple) and GATE in value)


def _functions(reader: Reader) -> dict[str, Any]:
    """The functions that are defined in the one which is gone through."""
    return {name: value for name, value in reader.local.items() if isinstance(value, Local)}


def _bind(reader: Reader, target: ast.expr, value: Any) -> None:
    match target:
        case ast.Name(id=name):
            reader.local[name] = value
        case ast.Tuple(elts=names) | ast.List(elts=names):
            several = value if isinstance(value, tuple) and len(value) == len(names) else ()
            for k, one in enumerate(names):
                part = several[k] if several else Unknown("a part", "a part")
                _bind(reader, one, part)


def _joined(
    first: Mapping[str, Any], second: Mapping[str, Any], text: str, ended: Sequence[bool]
) -> dict[str, Any]:
    """What names stand for behind an ``if`` that may go both ways."""
    if ended[0] or ended[1]:
        return dict(second if ended[0] else first)
    found = dict(first)
    for name in {*first, *second}:
        one, other = first.get(name), second.get(name)
        if one is not other and one != other:
            both = f"{words(one)} if {text} else {words(other)}"
            found[name] = Unknown(both, f"{mark(one)} if {text} else {mark(other)}")
    return found


def _called(node: ast.expr) -> str:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def _pytest(function: ast.expr) -> bool:
    """Whether it is pytest's own: ``pytest.skip``, or ``skip`` that was imported."""
    match function:
        case ast.Attribute(value=ast.Name(id="pytest")) | ast.Name():
            return True
    return False


def _raises(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)
