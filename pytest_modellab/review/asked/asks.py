"""What the gate is asked on one side: each question, its limits and what it depends on."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.review.asked import marks
from pytest_modellab.review.asked.calls import LEAVING, Call, Ended, Walk
from pytest_modellab.review.asked.reading import Local, Param, Reader, digest_of
from pytest_modellab.review.asked.suite import OWN, Suite, Test
from pytest_modellab.review.asked.values import (
    EACH,
    GATE,
    Candidate,
    Symbol,
    Tasks,
    Unknown,
    mark,
    plain,
    words,
)

MOST = 500
"""Sets of parameters of one test at most."""


SCOPE = ("capability", "against", "metric", "by")
"""Arguments that make it another question."""


LIMITS = ("margin", "floor", "limit", "kl", "agreement", "targeted")
"""Arguments that make it a stricter or weaker one; all others are settings."""


BY_BASE = ("no_forgetting", "no_slowdown", "fidelity")
"""Assertions that compare with the base where a test names no other."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ask:
    """One question to the gate.

    Attributes:
        assertion: ``no_regression``, say.
        variant: the candidate.
        task_set: what it is judged on.
        scope: capability, reference, metric and buckets, as far as they are given.
        limits: margin, floor and the like, as far as they are given.
        settings: all other arguments.
        conditions: under which it is asked.
        skipped: whether a mark keeps it from being asked at all.
        weight: of alpha, or Unknown.
        test: ``suites/test_small.py::test_overall``.
        where: file and line of the call.
    """

    assertion: str
    variant: str
    task_set: str
    scope: tuple[tuple[str, str], ...]
    limits: Mapping[str, Any]
    settings: Mapping[str, Any]
    conditions: frozenset[str]
    skipped: bool
    weight: Any
    test: str
    where: str

    @property
    def key(self) -> tuple[object, ...]:
        """The same for two that ask the same, however strictly."""
        return self.assertion, self.variant, self.task_set, self.scope

    @property
    def words(self) -> str:
        """The question without variant and task set: ``no_regression(against=plain)``."""
        given = ", ".join(f"{name}={value}" for name, value in self.scope)
        return f"{self.assertion}({given})" if given else self.assertion


def read(suite: Suite, config: LabConfig, deselected: frozenset[str]) -> list[Ask]:
    """Read what every test of a side asks.

    Args:
        suite: the tests.
        config: of the same side.
        deselected: names of marks whose tests a run leaves out.
    """
    return [ask for test in suite.tests() for ask in _asked(suite, test, config, deselected)]


def _asked(
    suite: Suite, test: Test, config: LabConfig, deselected: frozenset[str]
) -> Iterator[Ask]:
    skipped, conditions = marks.conditions(test.marks, deselected)
    before = of_module(test.reader)
    if before is None:
        return
    conditions += (*_leaving(suite, test), *before)
    for given, own in itertools.islice(_parameters(test), MOST):
        off, more = marks.conditions(own, deselected)
        ordered = [*test.marks[: test.own], *own, *test.marks[test.own :]]
        weight = marks.closest(ordered, "alpha_weight")
        weighs = 1.0 if weight is None or len(weight.args) != 1 else weight.args[0]
        fixtures = _fixtures(suite, test, given)
        for task_set in _task_sets(test, config, given):
            for spec in _variants(test, config, given):
                local = {**_defaults(test), **fixtures, "gate": GATE, "capability": EACH, **given}
                if spec is not None:
                    local["candidate"] = Candidate(spec)
                local["task_set"] = Tasks(str(task_set))
                walk = Walk()
                walk.function(test.reader.within(local), test.node.body, (), 0)
                for call in walk.calls:
                    yield _ask(
                        call,
                        config,
                        test,
                        variant=_variant(call, spec),
                        task_set=words(task_set),
                        conditions=frozenset((*conditions, *more, *call.conditions)),
                        skipped=skipped or off,
                        weight=weighs,
                    )


def of_module(reader: Reader) -> tuple[str, ...] | None:
    """The conditions on which a module is collected to its end; None where it leaves before."""
    known = reader.modules.known
    if reader.module not in known:
        top = Reader(reader.modules, reader.module)
        leaving = (ast.If, ast.Try, ast.Expr)
        body = [one for one in reader.module.tree.body if isinstance(one, leaving)]
        try:
            known[reader.module] = Walk().body(top, body, (), 0)
        except Ended:
            known[reader.module] = None
    found: tuple[str, ...] | None = known[reader.module]
    return found


def _defaults(test: Test) -> dict[str, Any]:
    """Arguments that are no fixtures, since they have a default."""
    spec = test.node.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    with_default = names[len(names) - len(spec.defaults) :]
    values = map(test.reader.value, spec.defaults)
    return dict(zip(with_default, values, strict=True))


def _variant(call: Call, spec: VariantSpec | None) -> str:
    given = call.settings.get("candidate")
    if isinstance(given, Candidate):
        return given.spec.name
    return spec.name if spec is not None else mark(given)


def _ask(
    call: Call, config: LabConfig, test: Test, *, variant: str, task_set: str, **others: Any
) -> Ask:
    scope = {k: call.settings[k] for k in SCOPE if call.settings.get(k) is not None}
    spec = config.variants.get(variant)
    if scope.get("against") == "base" or (call.assertion in BY_BASE and "against" not in scope):
        base = spec.base if spec is not None else None
        scope["against"] = base or "base"
    settings = {k: v for k, v in call.settings.items() if k not in (*SCOPE, *LIMITS, "candidate")}
    return Ask(
        call.assertion,
        variant,
        task_set,
        tuple((name, _said(scope[name])) for name in SCOPE if name in scope),
        {k: call.settings[k] for k in LIMITS if call.settings.get(k) is not None},
        settings,
        test=test.name,
        where=f"{call.path}:{call.line}",
        **others,
    )


def _said(value: Any) -> str:
    if isinstance(value, Unknown):
        return value.mark
    return words(value)


def _variants(test: Test, config: LabConfig, given: Mapping[str, Any]) -> list[VariantSpec | None]:
    if "candidate" in given:
        return [config.variants.get(str(given["candidate"]))]
    if "candidate" not in test.fixtures:
        return [None]
    marked = marks.closest(test.marks, "variants")
    specs = list(config.variants.values())
    if marked is None:
        return [*specs]
    names = [name for name in marked.args if not isinstance(name, Unknown)]
    return [
        spec
        for spec in specs
        if (not names or spec.name in names)
        and all(
            isinstance(value, Unknown) or getattr(spec, key, value) == value
            for key, value in marked.kwargs.items()
        )
    ]


def _task_sets(test: Test, config: LabConfig, given: Mapping[str, Any]) -> list[Any]:
    if "task_set" in given:
        return [given["task_set"]]
    marked = marks.closest(test.marks, "task_set")
    return list(config.task_sets) if marked is None else list(marked.args)


def _parameters(test: Test) -> Iterator[tuple[dict[str, Any], list[marks.Mark]]]:
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


def _fixtures(suite: Suite, test: Test, given: Mapping[str, Any]) -> dict[str, Any]:
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


def _leaving(suite: Suite, test: Test) -> Iterator[str]:
    """What fixtures may do to a test: end it, or put another gate in the place of the plugin's."""
    for name in OWN:
        if name in test.fixtures and (own := suite.fixture(name, test)):
            yield f"with a fixture {name} of its own, {digest_of(test.reader, own)}"
    asked = [suite.fixture(name, test) for name in test.fixtures if name not in OWN]
    for fixture in (*asked, *suite.automatic(test)):
        if fixture is not None and _may_leave(fixture):
            yield f"fixture that may end or change it, {digest_of(test.reader, fixture)}"


def _may_leave(fixture: Local) -> bool:
    """Whether a fixture ends tests, or changes what they call."""
    for node in ast.walk(fixture.node):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="pytest"), attr=name)):
                if name in LEAVING:
                    return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr")):
                return True
    return False
