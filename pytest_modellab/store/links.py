"""Symbolic links that lead out of a folder whose files came from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path


def leads_out(path: Path, folder: Path) -> str | None:
    """Say where links take a path if that is out of a folder, else None.

    The folder itself may be a link: whoever named it chose it.

    Args:
        path: in the folder, as far as its name says; it need not exist.
        folder: what it must not leave.

    Returns:
        In words, for messages: ``leads out of FOLDER, to TARGET``.
    """
    root, target = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    return None if target.is_relative_to(root) else f"leads out of {folder}, to {target}"
