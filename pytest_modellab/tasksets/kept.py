"""What is made of a task set's files is kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pytest_modellab.errors import StoreError, TaskSetError
from pytest_modellab.store import folders

_T = TypeVar("_T")


def folder(
    target: Path, write: Callable[[Path], None], read: Callable[[Path], _T | None], *, what: str
) -> _T:
    """Read a folder of the store as :func:`folders.folder` does, making it where needed.

    Raises:
        TaskSetError: the store cannot be written, or what ``write`` raises.
    """
    try:
        return folders.folder(target, write, read, what=what)
    except (StoreError, OSError) as error:
        full = isinstance(error, StoreError)
        problem = "not enough disk space" if full else f"{error}"
        raise TaskSetError(
            f"{target}: cannot be written: {problem}. Free some space, or choose another folder: "
            "MODELLAB_CACHE=/some/folder"
        ) from error
