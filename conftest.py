"""Options for this repository only."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the campaign's options."""
    group = parser.getgroup("campaign", "the standing campaign, tests/campaign")
    group.addoption("--campaign", action="store_true", help="its long form: minutes, not seconds")
    group.addoption("--campaign-seed", type=int, help="of all that it draws; the table shows it")
    group.addoption("--campaign-table", type=Path, metavar="FILE", help="write its table there")
