"""The assertions that there are, and what one is made of; nothing heavy is imported."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import (
    CapabilityForgotten,
    FidelityLost,
    FloorViolated,
    RegressionDetected,
    SlowdownDetected,
)
from pytest_modellab.judging.words import Words

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.judging.question import Question


@dataclasses.dataclass(frozen=True)
class Assertion:
    """A rule that the gate applies to a candidate.

    Attributes:
        name: what it is called in every record.
        judge: takes a :class:`~pytest_modellab.judging.question.Question` and, by keyword, the
            rule's own settings; returns ``question.comparison(…)``.
        words: what reports say of it; None for those of which the reports' own table speaks, since
            it depends on the reference or has a place among the columns.
        blocked: what is raised where the gate blocks, :class:`RegressionDetected` or an exception
            derived from it or from :class:`FloorViolated`.
    """

    name: str
    judge: Callable[..., Comparison]
    words: Words | None = None
    blocked: type[AssertionError] = RegressionDetected


BLOCKED = (RegressionDetected, FloorViolated)
"""What a verdict against a model is raised as; anything else is an error of the test."""


def _late(module: str, judge: str) -> Callable[..., Comparison]:
    """A judge whose file is imported when it is asked: collecting tests must not wait for numpy."""

    def asked(question: Question, **settings: Any) -> Comparison:
        found = importlib.import_module(f"pytest_modellab.judging.{module}")
        comparison: Comparison = getattr(found, judge)(question, **settings)
        return comparison

    return asked


ASSERTIONS: Mapping[str, Assertion] = MappingProxyType(
    {
        assertion.name: assertion
        for assertion in (
            Assertion("no_regression", _late("drop", "no_regression")),
            Assertion("no_drift", _late("drop", "no_regression")),  # of the anchor
            Assertion(
                "no_forgetting", _late("forgetting", "no_forgetting"), blocked=CapabilityForgotten
            ),
            Assertion("worst_bucket", _late("floor", "worst_bucket"), blocked=FloorViolated),
            Assertion("no_slowdown", _late("latency", "no_slowdown"), blocked=SlowdownDetected),
            Assertion("fidelity", _late("fidelity", "fidelity"), blocked=FidelityLost),
        )
    }
)


def problem(one: Any) -> str | None:
    """Say what of an added assertion would fail later, far from its cause, or None."""
    if one.name in ASSERTIONS:
        return "is built in; choose another name"
    if not callable(one.judge):
        return f"judge: {one.judge!r} is no function of a Question"
    if not isinstance(one.words, Words):
        return f"words: expected Words(subject=…, heading=…, advice=…), not {one.words!r}"
    for name, text in vars(one.words).items():
        if not isinstance(text, str) or not text:
            return f"words: {name}: expected a text"
    try:
        one.words.advise(variant="", against="", what="", task_sets="")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        return (
            f"words: advice: cannot be filled in ({type(error).__name__}: {error}); it may use "
            "{variant}, {against}, {what}, {task_sets} and {margin}"
        )
    if not isinstance(one.blocked, type) or not issubclass(one.blocked, BLOCKED):
        return f"blocked: {one.blocked!r} is not derived from RegressionDetected"
    return None
