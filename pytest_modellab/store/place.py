"""Where the store lies, and where in it something is kept."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_modellab.records.hashing import digest
from pytest_modellab.store.addresses import folder, is_address


def default_folder() -> Path:
    """Return ``$MODELLAB_CACHE``, or the user's cache folder of this platform.

    Where it is an address (``s3://…``), it is that of a store that is shared (:mod:`.remote`), and
    this machine's own is the user's cache folder.

    Raises:
        ConfigError: it names no folder.
    """
    named = os.environ.get("MODELLAB_CACHE")
    if named and not is_address(named):
        return folder(named, "MODELLAB_CACHE").resolve()
    from platformdirs import user_cache_path

    return user_cache_path("pytest-modellab")


def entry(cache: Path, kind: str, made_of: object) -> Path:
    """Return the place of something in the store: a path that ends in 16 hex digits.

    Args:
        cache: the store's root.
        kind: of thing; the folder under the root.
        made_of: all that it depends on, as built-in types.
    """
    return cache / kind / digest(made_of)[:16]
