"""Which runs were asked multiple choice in words and often named no option."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modellab.records.runs import RunSummary
from pytest_modellab.scorers.in_words import NAMED

MANY = 0.1
"""Share of such replies from which a score tells more of the format than of what a model knows."""


def notes(runs: Iterable[RunSummary]) -> tuple[str, ...]:
    """A line for each run whose replies often name no option.

    Args:
        runs: of the session.
    """
    return tuple(
        f"{run.task_set}: {1 - run.metrics[NAMED]:.0%} of what {run.variant} replied to multiple "
        "choice names no option, or several, and counts as wrong, so that the score tells of the "
        "format: say in the prompt how to reply, or show examples with options (shots)"
        for run in runs
        if run.metrics.get(NAMED, 1.0) <= 1 - MANY
    )
