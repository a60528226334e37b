"""What moved inside a model: which part is damaged, proved by putting the base's part back."""

from __future__ import annotations

from typing import Any

__all__ = ["diagnose"]


def __getattr__(name: str) -> Any:
    if name == "diagnose":  # late, since the records are imported where nothing is examined
        from pytest_modellab.observatory.driver import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
