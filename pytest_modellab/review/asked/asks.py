"""What the gate is asked on one side: each question, its limits and what it depends on."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.records.declared import VariantSpec, values
from pytest_modellab.review.asked import marks, parameters
from pytest_modellab.review.asked.calls import Call, Ended, Left, Walk
from pytest_modellab.review.asked.reading import Reader
from pytest_modellab.review.asked.suite import Suite, Test
from pytest_modellab.review.asked.values import (
    EACH,
    GATE,
    Candidate,
    Tasks,
    Unknown,
    mark,
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
        named: whether its file is run only where a command names it.
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
    named: bool = False

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
    test = dataclasses.replace(test, fixtures=parameters.closure(suite, test))
    bodies = parameters.asking(suite, test)
    conditions += (*parameters.leaving(suite, test), *before)
    for given, own in itertools.islice(parameters.sets(test), MOST):
        off, more = marks.conditions(own, deselected)
        ordered = [*test.marks[: test.own], *own, *test.marks[test.own :]]
        weight = marks.closest(ordered, "alpha_weight")
        weighs = 1.0 if weight is None or len(weight.args) != 1 else weight.args[0]
        fixtures = {**parameters.defaults(test), **parameters.fixtures(suite, test, given)}
        for task_set in _task_sets(test, config, given):
            for spec in _variants(test, config, given):
                local = {**fixtures, "gate": GATE, "capability": EACH, **given}
                if spec is not None:
                    local["candidate"] = Candidate(spec)
                local["task_set"] = Tasks(str(task_set))
                walk = Walk()
                with contextlib.suppress(Left):
                    for fixture in bodies:
                        within = Reader(suite.modules, fixture.module, local)
                        walk.function(within, fixture.node.body, (), 0)
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
        named=test.named,
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
            isinstance(value, Unknown)
            or key not in ("kind", "strategy", "base")
            or value in (None, *values(spec, key, config.variants))
            for key, value in marked.kwargs.items()
        )
    ]


def _task_sets(test: Test, config: LabConfig, given: Mapping[str, Any]) -> list[Any]:
    if "task_set" in given:
        return [given["task_set"]]
    marked = marks.closest(test.marks, "task_set")
    return list(config.task_sets) if marked is None else list(marked.args)
