"""Which rules of a verdict are not the declared ones: each is told beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_modellab.records.asked import BY_TEST, Override

if TYPE_CHECKING:
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.records.tasks import TaskSet

BY_SESSION = "asked of the session"
BY_OTHERS = "left by the weights of other tests"

STARVED = 0.1
"""What part of its equal share a test may have without a word, whatever others weigh."""


def of_session(settings: Settings) -> tuple[Override, ...]:
    """What was asked of the whole session and differs from what the documentation says."""
    from pytest_modellab.lab.settings import ALPHA, ON_INCONCLUSIVE

    found = []
    for rule, used, declared in (
        ("alpha", settings.alpha, ALPHA),
        ("on-inconclusive", settings.on_inconclusive, ON_INCONCLUSIVE),
    ):
        if used != declared:
            found.append(Override(rule, used, declared, settings.said.get(rule, BY_SESSION)))
    if (commit := settings.compare_to) is not None:
        by = settings.said.get("compare-to", BY_SESSION)
        found.append(Override("baselines", f"of {commit}", "those of the working tree", by))
    return tuple(found)


def of_margin(
    settings: Settings,
    rule: str,
    asked: float | None,
    allowed: float,
    declared: float,
    task_set: str,
) -> tuple[Override, ...]:
    """The margin, where it is not the task set's own.

    Args:
        settings: what was asked of the session.
        rule: ``margin`` or ``metrics.probability.capability_margin``, as modellab.toml has it.
        asked: the test's own margin, or None.
        allowed: what it is judged by.
        declared: what modellab.toml has.
        task_set: whose.
    """
    if asked is not None:
        return by_test(rule, allowed, declared, task_set)
    if allowed == declared:
        return ()
    return (Override(rule, allowed, declared, settings.said.get("margin", BY_SESSION), task_set),)


def of_limit(settings: Settings, declared: int | None, task_set: TaskSet) -> tuple[Override, ...]:
    """How many samples are asked, where the session has another limit than the task set.

    Args:
        settings: what was asked of the session.
        declared: the task set's own limit.
        task_set: with the samples that are asked.
    """
    if settings.limit is None:
        return ()
    size = task_set.whole or len(task_set.samples)
    usual = min(declared or size, size)
    if min(settings.limit, size) == usual:
        return ()
    by = settings.said.get("limit", BY_SESSION)
    return (Override("samples", len(task_set.samples), usual, by, task_set.name),)


def of_share(weight: float, share: float, equal: float, task_set: str) -> tuple[Override, ...]:
    """A test's share of alpha, where its own weight makes it less or other tests' next to nothing.

    Args:
        weight: the test's.
        share: what it may spend.
        equal: what it might, if no assertion had a weight.
        task_set: what it judges on.
    """
    used, declared = f"{share:.6g}", f"{equal:.6g}"
    if weight < 1 and share < equal and not math.isclose(share, equal, rel_tol=1e-5):
        return by_test("alpha share", used, declared, task_set)
    if share < equal * STARVED:
        return (Override("alpha share", used, declared, BY_OTHERS, task_set),)
    return ()


def by_test(
    rule: str, used: float | str | None, declared: float | str | None, task_set: str = ""
) -> tuple[Override, ...]:
    """A rule that a test set itself; none where it says what is declared, or nothing is."""
    if declared is None or used is None or used == declared:
        return ()
    return (Override(rule, used, declared, BY_TEST, task_set),)
