"""Files of scores read in one line, or refused in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorefiles
from pytest_modellab.errors import ModellabError
from pytest_modellab.scorefiles.rows import Wanted

Write = Callable[[str, str | bytes], Path]


def scores(path: Path, **wanted: Any) -> dict[str, float | None]:
    """Id to score."""
    return {row.id: row.score for row in scorefiles.read(path, Wanted(**wanted)).rows}


def message(path: Path, **wanted: Any) -> str:
    """The error's message after the path."""
    with pytest.raises(ModellabError) as caught:
        scorefiles.read(path, Wanted(**wanted))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def check_rows_or_message(path: Path) -> None:
    """Any other exception fails the test that calls this."""
    try:
        file = scorefiles.read(path, Wanted())
    except ModellabError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.startswith(f"{path}: ")
        return
    assert file.rows
    assert len({row.id for row in file.rows}) == len(file.rows)
    assert all(row.score is None or 0.0 <= row.score <= 1.0 for row in file.rows)
