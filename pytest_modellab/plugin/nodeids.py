"""What a node id says of a test."""

from __future__ import annotations

from collections.abc import Collection


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
