"""How often a piece of work has ended its process, within one session of several workers.

A worker that dies is replaced, and its tests go on: without a count, a model that the system kills
for its memory would take one worker after another with it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.records import reading
from pytest_modellab.store import files

SESSION = "PYTEST_XDIST_TESTRUNUID"
"""Where pytest-xdist tells its workers which session they belong to."""

DEATHS = 2
"""After so many, a piece of work is not begun again."""


@contextlib.contextmanager
def counted(folder: Path) -> Iterator[None]:
    """Do a piece of work, and leave a mark where the process ends in it.

    Outside of pytest-xdist nothing is counted: there, who runs it again is the user.

    Args:
        folder: of the store, that belongs to this piece of work.

    Raises:
        ModelError: it has ended its process twice in this session.
        OSError: the store cannot be written.
    """
    session = os.environ.get(SESSION, "")
    if not session:
        yield
        return
    path = folder / "attempts.json"

    def deaths(data: Mapping[str, Any]) -> int:
        count = reading.checked(reading.Count, data["deaths"], "deaths")
        return int(count) if data["session"] == session else 0

    before = files.read(path, deaths, of=folder.name) or 0
    if before >= DEATHS:
        raise ModelError(
            f"it has ended its process {before} times in this session, and is not run again: a "
            "library crashed, or the system killed it for its memory (see the kernel's log); what "
            "it had answered is stored. Set a smaller token_budget in [engine], or run it alone "
            "(-n0)"
        )
    files.write(path, {"session": session, "deaths": before + 1}, of=folder.name)
    try:
        yield
    finally:
        files.remove(path)
