"""The assertions that there are, and what one is made of; nothing heavy is imported."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import (
    CapabilityForgotten,
    FloorViolated,
    RegressionDetected,
    SlowdownDetected,
)

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
        blocked: what is raised where the gate blocks.
    """

    name: str
    judge: Callable[..., Comparison]
    blocked: type[AssertionError] = RegressionDetected


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
            Assertion("no_forgetting", _late("forgetting", "no_forgetting"), CapabilityForgotten),
            Assertion("worst_bucket", _late("floor", "worst_bucket"), FloorViolated),
            Assertion("no_slowdown", _late("latency", "no_slowdown"), SlowdownDetected),
        )
    }
)
