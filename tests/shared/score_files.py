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
