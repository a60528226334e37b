"""pytest-modellab: the pytest plugin that tells whether an adapted language model may ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modellab.assertions import Candidate, Gate
    from pytest_modellab.lab import Lab
    from pytest_modellab.records import TaskSet

__version__ = "0.1.0"
__all__ = ["Candidate", "Gate", "Lab", "TaskSet"]

_HOMES = {
    "Candidate": "pytest_modellab.assertions",
    "Gate": "pytest_modellab.assertions",
    "Lab": "pytest_modellab.lab",
    "TaskSet": "pytest_modellab.records",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
