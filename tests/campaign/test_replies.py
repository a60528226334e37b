"""Hostile replies through every scorer: a score or a reason, and every text that shows it inert."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from campaign.forks import Forks, Trial
from campaign.replies import ASKED

from pytest_modellab.scorers import SCORERS

pytestmark = pytest.mark.campaign

LONG, SHORT = 60, 8
"""Pairs of replies for each scorer."""


def test_every_scorer_is_asked() -> None:
    assert set(SCORERS) <= set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_replies(
    name: str,
    forks: Forks,
    tmp_path: Path,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    with part(f"replies: {name}") as counted:
        arguments = (name, tmp_path, LONG if long else SHORT, seed)
        ended = forks.run(Trial("campaign.replies:replied", arguments, patience=600))
        if ended.how == "returned":
            counted.count(None, ended.value)
        else:
            last = (tmp_path / "last").read_text(encoding="utf-8").strip()
            counted.count(f"{ended.how}: {ended.text}\nlast input: {last}", arguments[2])
