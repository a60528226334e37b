"""Which rules of a verdict are not the declared ones: each is told beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_modellab.records.asked import BY_TEST, Override

if TYPE_CHECKING:
    from pytest_modellab.lab.settings import Settings

BY_SESSION = "asked of the session"


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
    return tuple(found)


def of_margin(
    settings: Settings, asked: float | None, allowed: float, declared: float, task_set: str
) -> tuple[Override, ...]:
    """The margin, where it is not the task set's own.

    Args:
        settings: what was asked of the session.
        asked: the test's own margin, or None.
        allowed: what it is judged by.
        declared: what modellab.toml has.
        task_set: whose.
    """
    if asked is not None:
        return by_test("margin", allowed, declared, task_set)
    if allowed == declared:
        return ()
    return (
        Override("margin", allowed, declared, settings.said.get("margin", BY_SESSION), task_set),
    )


def by_test(
    rule: str, used: float, declared: float | None, task_set: str = ""
) -> tuple[Override, ...]:
    """A rule that a test set itself; none where it says what is declared, or nothing is."""
    if declared is None or used == declared:
        return ()
    return (Override(rule, used, declared, BY_TEST, task_set),)
