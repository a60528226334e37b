"""Options of the command line and keys of the ini file that are nearly ours, and misspelt."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Generator, Iterable
from pathlib import Path

import iniconfig  # what pytest reads them by
import pytest

from pytest_modellab.plugin.options import OPTIONS

_LIKE_OURS = re.compile(r"^--mod+el+[-_]?l?ab[-_]?", re.IGNORECASE)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """Refuse an option that nobody knows and that is named as ours are, with the near miss.

    A conftest.py may add one, so that is asked for afterwards.
    """
    yield
    if not any(map(_LIKE_OURS.match, args)):
        return
    known = copy.copy(early_config.known_args_namespace)
    _, unknown = parser.parse_known_and_unknown_args(args, known)
    ours = (one.partition("=")[0] for one in unknown if _LIKE_OURS.match(one))
    _refuse(ours, "--modellab-", OPTIONS, "no such option")


def check_ini(config: pytest.Config) -> None:
    """Refuse a key of the ini file, or of ``-o``, that is named as ours are and means nothing.

    Raises:
        pytest.UsageError: with the near miss; pytest would warn, and the gate be another.
    """
    given = [one.partition("=")[0].strip() for one in config.getoption("override_ini") or ()]
    where = ""
    if config.inipath is not None:
        where = f"{config.inipath}: "
        given += keys(config.inipath)
    ours = (one for one in given if one.startswith("modellab_"))
    names = [name.replace("-", "_") for name in OPTIONS]
    _refuse(ours, "modellab_", names, "no such setting", where)


def keys(path: Path) -> list[str]:
    """Return the keys of an ini file's table of pytest; those of other tools' tables are not ours.

    Args:
        path: of a file that pytest has read.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".toml":
        sections = iniconfig.IniConfig(str(path), data=text).sections
        name = "tool:pytest" if path.name == "setup.cfg" else "pytest"
        return [*sections.get(name, {})]
    import tomllib  # as late as pytest itself does: some sessions have no such file

    data = tomllib.loads(text)
    if path.name != "pyproject.toml":
        return [*data.get("pytest", {})]
    table = data.get("tool", {}).get("pytest", {})
    return [*table, *table.get("ini_options", {})]


def _refuse(
    given: Iterable[str], prefix: str, known: Iterable[str], what: str, where: str = ""
) -> None:
    """Refuse the first that is not known; the prefix, which all have, makes none alike."""
    names = sorted(known)
    for one in given:
        if (name := one.removeprefix(prefix)) not in names:
            from pytest_modellab.visible import CELL, line, shortened

            meant = _LIKE_OURS.sub("", name).casefold()
            if "-" in prefix:
                meant = meant.replace("_", "-")
            close = difflib.get_close_matches(meant, names, n=1)
            hint = f"did you mean {prefix}{close[0]}? " if close else ""
            after = f"Known, after {prefix}: {', '.join(names)}"
            raise pytest.UsageError(line(f"{where}{shortened(one, CELL)}: {what}; {hint}{after}"))
