"""What is said of scores in words that tell little of what a model knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports import in_words, measured


def test_what_tells_of_format_and_letter_is_named(run: Callable[..., RunSummary]) -> None:
    plain = dataclasses.replace(run(), task_set="core_v1", variant="chat")

    def notes(**metrics: float) -> tuple[str, ...]:
        return in_words.notes([dataclasses.replace(plain, metrics=metrics)])

    assert notes() == ()
    assert notes(option_named=0.91, one_letter=0.79) == ()
    assert notes(option_named=0.9, one_letter=0.8) == (
        "core_v1: 10% of what chat replied to multiple choice names no option, or several, and "
        "counts as wrong, so that the score tells of the format: say in the prompt how to reply, "
        "or show examples with options (shots)",
        "core_v1: where it names an option, 80% of what chat replied to multiple choice names one "
        "and the same letter, whatever stands there: its score is near chance, and hardly moves "
        'when the model gets worse; ask a larger model, or set scoring = "likelihood" where it '
        "can be told",
    )


def test_neither_is_what_a_score_is_the_mean_of(run: Callable[..., RunSummary]) -> None:
    made = dataclasses.replace(run(), metrics={"option_named": 0.5, "one_letter": 0.5})
    assert measured.scored_by(made, 0.5) is None
    assert measured.in_line(made, 0.5) == ["option_named=0.50"]
