"""Folders that are made once, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import says
from pytest_modellab.records.declared import ModelSource


def kept(target: Path, write: Callable[[Path], None], source: ModelSource) -> Path:
    """Return a folder of the cache, making it once.

    Args:
        target: the folder; it appears whole or not at all, whoever else makes it at the same time.
        write: fills the folder that it is given.
        source: what it is made from, for messages.

    Returns:
        The target.

    Raises:
        ModelError: no space, or what ``write`` raises.
    """
    from filelock import FileLock

    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            for leftover in target.parent.glob(f".{target.name}.*"):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
            try:
                write(temporary)
                os.replace(temporary, target)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise no_space(source, target.parent) from error
                raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return target


def no_space(source: ModelSource, place: Path) -> ModelError:
    """Return the error of a disk that is full."""
    return ModelError(
        says(
            source,
            f"not enough disk space in {place}. Free some, or "
            "choose another folder: MODELLAB_CACHE=/some/folder",
        )
    )
