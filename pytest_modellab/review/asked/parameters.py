"""What a test gets: its parameters, and what the suites' own fixtures hand to it or do to it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modellab.review.asked import marks
from pytest_modellab.review.asked.calls import may_leave
from pytest_modellab.review.asked.reading import Local, Param, Reader, digest_of
from pytest_modellab.review.asked.suite import OWN, Suite, Test
from pytest_modellab.review.asked.values import Symbol, Unknown, plain


def closure(suite: Suite, test: Test) -> tuple[str, ...]:
    """Return the names of all fixtures that a test gets, those that its fixtures ask for, too."""
    found = dict.fromkeys(test.fixtures)
    waiting = [*found]
    for automatic in suite.automatic(test):
        waiting += _asked(automatic)
    while waiting:
        name = waiting.pop()
        found.setdefault(name)
        fixture = None if name in OWN else suite.fixture(name, test)
        waiting += [] if fixture is None else [one for one in _asked(fixture) if one not in found]
    return tuple(found)


def asking(suite: Suite, test: Test) -> list[Local]:
    """Return the fixtures that may ask the gate for a test."""
    named = [suite.fixture(name, test) for name in test.fixtures if name not in OWN]
    every = dict.fromkeys(one for one in named if one is not None)
    known = {one.node for one in every}
    every.update(dict.fromkeys(one for one in suite.automatic(test) if one.node not in known))
    return [one for one in every if "gate" in _asked(one)]


def _asked(fixture: Local) -> list[str]:
    node = fixture.node
    if isinstance(node, ast.ClassDef):
        return []
    return [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def defaults(test: Test) -> dict[str, Any]:
    """Arguments that are no fixtures, since they have a default."""
    spec = test.node.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    with_default = names[len(names) - len(spec.defaults) :]
    values = map(test.reader.value, spec.defaults)
    return dict(zip(with_default, values, strict=True))


def sets(test: Test) -> Iterator[tuple[dict[str, Any], list[marks.Mark]]]:
    """Give each set of a test's own parameters, with its marks."""
    several = [_parametrized(one) for one in test.marks if one.name == "parametrize"]
    for chosen in itertools.product(*several):
        values: dict[str, Any] = {}
        for given, _ in chosen:
            values.update(given)
        yield values, [mark for _, own in chosen for mark in own]


def _parametrized(found: marks.Mark) -> list[tuple[dict[str, Any], list[marks.Mark]]]:
    call = found.node
    arguments = list(call.args) if isinstance(call, ast.Call) else []
    if isinstance(call, ast.Call):
        by_name = {keyword.arg: keyword.value for keyword in call.keywords}
        arguments += [by_name[key] for key in ("argnames", "argvalues") if key in by_name]
    if len(arguments) < 2:
        return [({}, [])]
    names = found.reader.value(arguments[0])
    if isinstance(names, str):
        names = tuple(name.strip() for name in names.split(","))
    if not isinstance(names, tuple):
        return [({}, [])]
    sets = _sets(found.reader, arguments[1])
    if sets is None:
        text = found.reader.unknown(arguments[1])
        return [({name: Unknown(f"{name} of {text.text}", text.mark) for name in names}, [])]
    result = []
    for value, own in sets:
        values = {names[0]: value} if len(names) == 1 else {}
        if isinstance(value, tuple) and len(value) == len(names) > 1:
            values = dict(zip(names, value, strict=True))
        result.append((values, own))
    return result


def _sets(reader: Reader, node: ast.expr) -> list[tuple[Any, list[marks.Mark]]] | None:
    """The values that a test is parametrized with, each with its own marks."""
    values = reader.value(node)
    if not isinstance(values, (tuple, frozenset)):
        return None
    return [
        (one.value, list(marks.of(one.reader, one.marks))) if isinstance(one, Param) else (one, [])
        for one in values
    ]


def fixtures(suite: Suite, test: Test, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the suites' own fixtures hand to a test, as far as they only return it."""
    found: dict[str, Any] = {}
    for name in test.fixtures:
        if name in given or name in OWN:
            continue
        fixture = suite.fixture(name, test)
        if fixture is None:
            found[name] = Symbol(name)
            continue
        value, known = test.reader.returned(fixture, None)
        same = f"<{digest_of(test.reader, fixture)}>"
        found[name] = value if known and plain(value) else Unknown(f"fixture {name}", same)
    return found


def leaving(suite: Suite, test: Test) -> Iterator[str]:
    """What fixtures may do to a test: end it, or put another gate in the place of the plugin's."""
    for name in OWN:
        if name in test.fixtures and (own := suite.fixture(name, test)):
            yield f"with a fixture {name} of its own, {digest_of(test.reader, own)}"
    asked = [suite.fixture(name, test) for name in test.fixtures if name not in OWN]
    for fixture in (*asked, *suite.automatic(test)):
        if fixture is not None and may_leave(fixture):
            yield f"fixture that may end or change it, {digest_of(test.reader, fixture)}"
