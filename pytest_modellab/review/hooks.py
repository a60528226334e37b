"""What conftest.py files do to collection and outcome: hooks that nobody can weigh from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from pytest_modellab.review.asked.code import is_docstring
from pytest_modellab.review.asked.modules import Module, statements
from pytest_modellab.review.asked.reading import Local, Reader, digest_of
from pytest_modellab.review.asked.suite import Suite
from pytest_modellab.review.changes import Change

DECIDING = (
    *("pytest_collection_modifyitems", "pytest_collection_finish", "pytest_deselected"),
    *("pytest_ignore_collect", "pytest_collect_file", "pytest_collect_directory"),
    *("pytest_pycollect_makemodule", "pytest_pycollect_makeitem", "pytest_generate_tests"),
    *("pytest_itemcollected", "pytest_make_parametrize_id", "pytest_load_initial_conftests"),
    *("pytest_cmdline_main", "pytest_configure", "pytest_sessionstart", "pytest_sessionfinish"),
    *("pytest_runtestloop", "pytest_runtest_protocol", "pytest_runtest_setup"),
    *("pytest_runtest_call", "pytest_runtest_makereport", "pytest_pyfunc_call"),
    *("pytest_fixture_setup", "pytest_report_teststatus", "pytest_runtest_logreport"),
    *("pytest_modellab_assertions", "pytest_modellab_scorers"),
    *("collect_ignore", "collect_ignore_glob", "pytest_plugins"),
)
"""Hooks and variables of a conftest.py that decide what is judged, and what becomes of it."""


PLAIN = ("pytester", ("pytester",))
"""What ``pytest_plugins`` may be without a word."""


PATCH = "changed on import"
"""What a test's module or a conftest.py changes in another module."""


def read(suite: Suite) -> Mapping[tuple[str, str], str]:
    """Return hook and what it does → where it stands."""
    found = {}
    for module in suite.conftests():
        reader = Reader(suite.modules, module)
        for name in DECIDING:
            node = module.names.get(name)
            where = f"{module.path}:{getattr(node, 'lineno', 1)}"
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if all(_declares(statement) for statement in node.body):
                    continue
                found[name, digest_of(reader, Local(node, module))] = where
            elif isinstance(node, ast.expr) and reader.value(node) not in PLAIN:
                found[name, reader.mark(node)] = where
    for module in (*suite.conftests(), *suite.asking()):
        reader = Reader(suite.modules, module)
        for patch in _patches(module):
            found[PATCH, reader.mark(patch)] = f"{module.path}:{patch.lineno}"
    return found


def _declares(statement: ast.stmt) -> bool:
    """Whether a statement does nothing to a test: a docstring, the declaration of a marker."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="addinivalue_line"))):
            return True
    return is_docstring(statement) or isinstance(statement, ast.Pass)


def _patches(module: Module) -> Iterator[ast.stmt]:
    """What a module changes in others when it is imported: ``Gate.no_drift = …``."""
    for node in statements(module.tree.body):
        match node:
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield node
            case ast.AugAssign(target=ast.Attribute() | ast.Subscript()):
                yield node
            case ast.Expr(value=ast.Call(func=ast.Name(id="setattr" | "exec" | "eval"))):
                yield node


def compare(old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]) -> list[Change]:
    """Compare the hooks of both sides, wherever they stand."""
    found = []
    note = "it decides what is judged and what becomes of it"
    for name in dict.fromkeys(name for name, _ in (*old, *new)):
        rule = name if name == PATCH else f"conftest {name}"
        was = {what: where for (one, what), where in old.items() if one == name}
        now = {what: where for (one, what), where in new.items() if one == name}
        for what in [one for one in now if one not in was]:
            before = "another" if was else "none"
            found.append(Change("unweighed", rule, before, what, now[what], note))
        if was and not now:
            where = next(iter(was.values()))
            gone = ", ".join(was)
            found.append(Change("unweighed", rule, gone, "none", where, note))
    return found
