from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports import at_zero

Make = Callable[..., Any]


def test_a_pass_beside_nothing_right_is_told_once(comparison: Make, figures: Make) -> None:
    zero = figures(name="all", baseline=0.0, candidate=0.0, verdict="pass")
    some = figures(name="all", baseline=0.5, candidate=0.5, verdict="pass")
    floor = figures(name="all", baseline=None, floor=0.0, verdict="pass")

    def notes(verdict: str, *found: Any, **changes: Any) -> tuple[str, ...]:
        made = comparison(
            verdict, figures=found, task_set="core_v1", candidate="nf4", against="own baseline"
        )
        made = made if not changes else comparison(verdict, figures=found, **changes)
        return at_zero.notes([made, made])

    assert notes("pass", zero) == (
        "core_v1: nf4 could only pass beside its own baseline, which has nothing right: check the "
        "prompt, the targets and the scorer, then accept again: modellab accept nf4 --task-set "
        "core_v1",
    )
    assert notes("pass", some) == notes("pass", floor) == ()
    assert notes("block", zero) == notes("inconclusive", zero) == ()
    assert notes("pass", zero, metric="probability") == ()


@pytest.mark.parametrize(
    ("against", "command"),
    [
        ("baseline of prompting", "modellab accept prompting --task-set core_v1"),
        (
            "anchor of 2026-01-01 (2 changes accepted since)",
            "modellab accept nf4 --task-set core_v1 --new-anchor",
        ),
    ],
)
def test_what_is_to_be_accepted_is_what_was_compared_with(
    comparison: Make, figures: Make, against: str, command: str
) -> None:
    found = [
        comparison(
            "pass",
            figures=[figures(name=name, baseline=0.0, candidate=0.5, verdict="pass")],
            task_set="core_v1",
            candidate="nf4",
            capability=name,
            against=against,
        )
        for name in ("a", "b", "c", "d", "e", "f", "g")
    ]
    (note,) = at_zero.notes(found)
    assert f"the {against}, which has nothing right in a, b, c, d, e and 2 more: check" in note
    assert note.endswith(f"then accept again: {command}")
