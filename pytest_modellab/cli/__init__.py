"""The ``modellab`` command."""

from __future__ import annotations

from pytest_modellab.cli.main import main

__all__ = ["main"]
