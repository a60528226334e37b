"""What a node id and its parameters say of a test."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def variant_of(nodeid: str, variants: Collection[str]) -> str | None:
    """Return the variant that a node id's parameters name, or None.

    Where the test is at hand, its own parameter is surer. The plugin's parameters come first, so
    the first part that is a variant's name counts.

    Args:
        nodeid: ``path::class::function[parameters]``. Path and parameters may hold brackets, and
            parameters ``::``; names of classes and functions hold neither.
        variants: names of the declared variants; no hyphen is in them.
    """
    _, _, names = nodeid.partition("::")
    _, bracket, parameters = names.partition("[")
    parts = parameters.removesuffix("]").split("-") if bracket else []
    return next((part for part in parts if part in variants), None)


def from_here(nodeid: str, config: pytest.Config) -> str:
    """Return a node id with its path as it is reached from where pytest was started."""
    path, colons, names = nodeid.partition("::")
    try:
        path = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
    except ValueError:  # another drive
        path = str(config.rootpath / path)
    return f"{path}{colons}{names}"


def params_of(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters of a test."""
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}
