"""Readers with any input: what is no such file is refused with an error of the project."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from campaign.forks import Forks, Trial
from campaign.fuzz import READERS

pytestmark = pytest.mark.campaign

LONG, SHORT = 100_000, 600
"""Inputs, of all readers together."""

TOTAL = sum(share for _, _, share in READERS.values())


@pytest.mark.parametrize("name", READERS)
def test_fuzz(
    name: str,
    forks: Forks,
    made: Path,
    tmp_path: Path,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    if name.startswith(("images", "recordings")):
        pytest.importorskip("PIL")
        pytest.importorskip("av")
    examples = -(-(LONG if long else SHORT) * READERS[name][2] // TOTAL)
    with part(f"fuzz: {name}") as counted:
        arguments = (name, made, tmp_path, examples, seed)
        ended = forks.run(Trial("campaign.fuzz:read", arguments, patience=600))
        if ended.how == "returned":
            counted.count(None, ended.value)
        else:
            last = (tmp_path / "last").read_text(encoding="utf-8").strip()
            counted.count(f"{ended.how}: {ended.text}\nlast input: {last}", examples)
