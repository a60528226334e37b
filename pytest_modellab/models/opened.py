"""The files that are opened while a model loads, compared with those that were hashed."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import ModelFiles, says

_recordings: list[set[str]] = []
"""What has been opened since each began."""


@contextlib.contextmanager
def checked(files: ModelFiles) -> Iterator[None]:
    """Refuse a model if loading opens a file of its folder, or of the hub, that is in no hash.

    Seen is what Python opens: configurations, vocabularies, templates, pickles. What compiled code
    opens by itself (safetensors, tokenizers) is hashed under any name.

    Args:
        files: the model's; nothing is watched where one file holds it all, and was hashed.

    Raises:
        ModelError: it does; the message names the file.
    """
    if not files.hashed:
        yield
        return
    _listen()
    opened: set[str] = set()
    _recordings.append(opened)
    try:
        yield
    finally:
        _recordings[:] = [one for one in _recordings if one is not opened]  # not one that is equal
    for path in sorted({Path(os.path.normpath(path)).absolute() for path in opened}):
        if path not in files.hashed and _is_data(path, files.path):
            raise ModelError(
                says(
                    files.source,
                    f"{path} is opened when the model loads, but is in no hash of it: a change of "
                    "it would go unseen. If the model is the same without it, move it elsewhere; "
                    "else save all that the model needs in its folder, zip that, and name the "
                    ".zip, whose hash is over all that it holds",
                )
            )


def _is_data(path: Path, folder: Path) -> bool:
    """Whether a file is part of a model: of this one, or of another one that the hub gave."""
    if path.is_relative_to(folder):
        parts = path.relative_to(folder).parts
        apart = any(part.startswith(".") or part == "site-packages" for part in parts)
        return not apart and path.suffix not in (".md", ".py", ".pyc") and path.is_file()
    hub = sys.modules.get("huggingface_hub.constants")
    return hub is not None and path.is_relative_to(hub.HF_HUB_CACHE) and "snapshots" in path.parts


@functools.cache
def _listen() -> None:
    """Have Python tell what it opens, from now on to its end: a hook cannot be taken back."""
    sys.addaudithook(_told)


def _told(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _recordings:
        return
    path, _, flags = args
    if isinstance(path, str) and not flags & os.O_WRONLY:
        for opened in _recordings:
            opened.add(path)
