"""One file a command of ``modellab``; each has ``add(subparsers)`` and ``run(options)``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from pytest_modellab import config as configuration
from pytest_modellab.config import LabConfig
from pytest_modellab.errors import ConfigError

EXIT_OK, EXIT_FOUND, EXIT_USAGE, EXIT_INCONCLUSIVE = 0, 1, 2, 3

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def find_config(named: Path | None) -> LabConfig | None:
    """Read the named ``modellab.toml``, or the one in or above this folder, or in ``suites/``.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    path = named or configuration.find([Path.cwd()], Path.cwd())
    return configuration.load(path) if path is not None else None


def required_config(named: Path | None) -> LabConfig:
    """As :func:`find_config`, where the command cannot do without.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    found = find_config(named)
    if found is None:
        raise ConfigError("no modellab.toml here or in suites/; name one: --config PATH")
    return found
