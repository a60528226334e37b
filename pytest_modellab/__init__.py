"""pytest-modellab: the pytest plugin that tells whether an adapted language model may ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_modellab.version import __version__

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.plugin.assertions import Gate
    from pytest_modellab.plugin.under_test import Candidate
    from pytest_modellab.records.tasks import TaskSet

__all__ = ["Candidate", "Gate", "Lab", "TaskSet", "__version__"]


_HOMES = {
    "Candidate": "pytest_modellab.plugin.under_test",
    "Gate": "pytest_modellab.plugin.assertions",
    "Lab": "pytest_modellab.lab.lab",
    "TaskSet": "pytest_modellab.records.tasks",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
