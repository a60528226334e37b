"""Folders of the cache: made once, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pytest_modellab.errors import TaskSetError

_T = TypeVar("_T")


def folder(target: Path, write: Callable[[Path], None], read: Callable[[Path], _T | None]) -> _T:
    """Read a folder of the cache, making it where it is missing or damaged.

    Args:
        target: the folder; it appears whole or not at all, whoever else makes it at the same time.
        write: fills the folder that it is given.
        read: what the folder holds, or None where it must be made (again).

    Returns:
        What ``read`` returns.

    Raises:
        TaskSetError: the cache cannot be written, or what ``write`` raises.
    """
    from filelock import FileLock

    found = read(target)
    if found is not None:
        return found
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            found = read(target)
            if found is None:
                for leftover in target.parent.glob(f".{target.name}.*"):  # of a killed process
                    shutil.rmtree(leftover, ignore_errors=True)
                temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
                try:
                    write(temporary)
                    shutil.rmtree(target, ignore_errors=True)
                    os.replace(temporary, target)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
                found = read(target)
    except OSError as error:
        problem = "not enough disk space" if error.errno == errno.ENOSPC else f"{error}"
        raise TaskSetError(
            f"{target}: cannot be written: {problem}. Free some space, or choose another folder: "
            "MODELLAB_CACHE=/some/folder"
        ) from error
    assert found is not None, f"{target}: written, but not readable"
    return found
