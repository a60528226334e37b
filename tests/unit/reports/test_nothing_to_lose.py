"""A run that scores 0 is accepted with a warning."""

from __future__ import annotations

import types
from typing import Any, cast

import pytest

from pytest_modellab.records.runs import BucketScore
from pytest_modellab.reports.text import accepting


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ([0.0, 0.0], "nothing is right, so that nothing can get worse"),
        ([0.0, 0.5], "nothing is right in c0, so that nothing can get worse"),
        ([0.1, 0.5], None),
        ([], None),
    ],
)
def test_what_cannot_get_worse(means: list[float], said: str | None) -> None:
    rows = tuple(BucketScore(f"c{place}", 4, mean) for place, mean in enumerate(means))
    run = types.SimpleNamespace(n=4 * len(rows), mean=sum(means), capabilities=rows)
    lines = accepting.nothing_to_lose(cast("Any", run))
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]
