"""How many tests of an inner session ended how; pytest's own helper knows no undecided ones."""

from __future__ import annotations

import pytest


def assert_outcomes(result: pytest.RunResult, *, inconclusive: int = 0, **others: int) -> None:
    """Assert how many tests passed undecided, and how many ended otherwise."""
    result.assert_outcomes(**others)
    assert result.parseoutcomes().get("inconclusive", 0) == inconclusive
