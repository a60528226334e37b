"""Where the store lies."""

from __future__ import annotations

import os
from pathlib import Path


def default_folder() -> Path:
    """Return ``$MODELLAB_CACHE``, or the user's cache folder of this platform."""
    if named := os.environ.get("MODELLAB_CACHE"):
        return Path(named).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("pytest-modellab")
