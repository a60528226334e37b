from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_modellab.reports import few

Make = Callable[..., Any]


def test_only_what_is_undecided_for_its_size_is_told(comparison: Make, figures: Make) -> None:
    small = figures(name="all", n=20, clusters=20, margin=0.02, verdict="inconclusive")
    large = figures(name="all", n=600, clusters=600, margin=0.02, verdict="inconclusive")
    floor = figures(name="b", n=5, clusters=5, baseline=None, floor=0.5, verdict="inconclusive")
    told = (
        "core_v1: 20 samples cannot pass at margin = 0.02 (all samples), even if nothing changed: "
        "149 would, or margin = 0.14 with these",
    )

    def notes(verdict: str, *found: Any, **changes: Any) -> tuple[str, ...]:
        made = comparison(verdict, figures=found, task_set="core_v1", **changes)
        return few.notes([made, made])

    assert notes("inconclusive", small) == told
    assert notes("inconclusive", large) == ()
    assert notes("inconclusive", floor) == ()
    assert notes("inconclusive", small, metric="probability") == ()
    assert notes("pass", small) == ()
