"""Which scores of multiple choice that was asked in words tell little of what a model knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_modellab.records.graded import NAMED
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.scorers.in_words import ONE_LETTER

ENOUGH = 0.9
"""Share of replies with an option up to which a score tells of the format."""

MOST = 0.8
"""Share of replies with one letter from which a score tells of the letter."""


def notes(runs: Iterable[RunSummary]) -> tuple[str, ...]:
    """A line for each run whose replies often name no option, or nearly always the same letter.

    Args:
        runs: of the session.
    """
    return tuple(text for run in runs for text in _notes(run))


def _notes(run: RunSummary) -> Iterator[str]:
    what = f"of what {run.variant} replied to multiple choice"
    if (named := run.metrics.get(NAMED, 1.0)) <= ENOUGH:
        yield (
            f"{run.task_set}: {1 - named:.0%} {what} names no option, or several, and counts as "
            "wrong, so that the score tells of the format: say in the prompt how to reply, or show "
            "examples with options (shots)"
        )
    if (share := run.metrics.get(ONE_LETTER, 0.0)) >= MOST:
        yield (
            f"{run.task_set}: where it names an option, {share:.0%} {what} names one and the same "
            "letter, whatever stands there: its score is near chance, and hardly moves when the "
            'model gets worse; ask a larger model, or set scoring = "likelihood" where it can be '
            "told"
        )
