"""Variants that need each other in a circle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_modellab.errors import ConfigError


def circular(path: Path, trail: Mapping[str, str], name: str) -> ConfigError:
    """Return the error that refuses a circle.

    Args:
        path: the configuration.
        trail: the variants followed so far, in order, each with the key that named the next.
        name: the variant that was reached again; one of the trail.
    """
    names = list(trail)
    circle = names[names.index(name) :]
    keys = sorted({trail[one] for one in circle})
    return ConfigError(
        f"{path}: variants.{name}.{trail[name]}: circular: "
        f"{' -> '.join((*circle, name))}; name another {' or '.join(keys)} in one of them"
    )
