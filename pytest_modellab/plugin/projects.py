"""What the tests of one ``modellab.toml`` share in a session, and whose a test is.

A session may hold tests of several; each is judged by the one nearest above its file, with a share
of that one's alpha, and reported with its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin.nodeids import from_here
from pytest_modellab.plugin.options import path_option
from pytest_modellab.plugin.session import (
    compared_with,
    declare_markers,
    load,
    load_first,
    settings_of,
)

if TYPE_CHECKING:
    from pytest_modellab.baselines.committed import Committed
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.registry import Extensions
    from pytest_modellab.lab.settings import Settings

PROJECTS: pytest.StashKey[Projects] = pytest.StashKey()


NONE_FOUND = (
    "no modellab.toml found beside or above the tests; write one: modellab init, or name it: "
    "--modellab-config PATH"
)


class Project:
    """One configuration in a session; what is costly is made when it is first asked for.

    Args:
        config: the session's.
        declared: the configuration, as read.

    Attributes:
        name: the file's path from pytest's rootdir, by which several are told apart.
        weights: shares of alpha of the assertions of its tests.
        candidates: variant and task set of each of its tests.
        sources: where what it is extended by is written, when that was asked for.
    """

    def __init__(self, config: pytest.Config, declared: LabConfig) -> None:
        self._config = config
        self._hook: Any = config.hook
        self.declared = declared
        self.name = _from_root(declared.path, config.rootpath)
        self.weights: Mapping[str, float] = {}
        self.candidates: frozenset[tuple[str, str]] = frozenset()
        self.sources: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        """Its name: reports show it as the parameter that it is of its tests."""
        return self.name

    @property
    def from_here(self) -> str:
        """The folder that node ids start from, as it is reached from where pytest was started."""
        found = from_here("", self._config)
        return "" if found == "." else found

    def collect(self, hook: Any) -> None:
        """Ask what it is extended by, once, when its first test is collected.

        Args:
            hook: of the test: conftest files of other folders have no say.
        """
        if self.sources is None:
            self._hook = hook
            self.extensions  # noqa: B018 - asked now, before another conftest.py is read

    @functools.cached_property
    def extensions(self) -> Extensions:
        """What plugins and conftest files add."""
        from pytest_modellab.errors import ConfigError
        from pytest_modellab.lab import registry

        try:
            found = registry.collect(self._hook)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
        declare_markers(self._config, found.kinds.values())
        self.sources = registry.sources(self._hook)
        return found

    @functools.cached_property
    def checked(self) -> LabConfig:
        """The configuration, its kinds checked."""
        from pytest_modellab.errors import ConfigError

        try:
            return self.declared.with_kinds(self.extensions.kinds)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error

    @functools.cached_property
    def compared(self) -> Committed | None:
        """The commit whose accepted runs are compared with; None for the working tree's."""
        return compared_with(self._config, self.declared)

    @functools.cached_property
    def settings(self) -> Settings:
        """What the user asked of it."""
        return settings_of(self._config, self.compared)

    @property
    def begun(self) -> bool:
        """Whether anybody has asked for its lab."""
        return "lab" in vars(self)

    @functools.cached_property
    def lab(self) -> Lab:
        """Its lab."""
        from pytest_modellab.lab.lab import Lab
        from pytest_modellab.plugin.progress import progress_of

        return Lab(self.checked, self.settings, progress_of(self._config), self.extensions)


class Projects:
    """The configurations of a session.

    Args:
        config: the session's.

    Attributes:
        first: the one beside, above or below what pytest was called with; None without any.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._chosen = path_option(config, "config") is not None
        declared = load_first(config)
        self.first = None if declared is None else Project(config, declared)
        self._known: dict[Path, Project] = {}
        self._nearest: dict[Path, Path | None] = {}  # by a test's folder
        if self.first is not None:
            self._known[self.first.declared.path] = self.first

    @property
    def known(self) -> tuple[Project, ...]:
        """Those that were found so far, by name, which no order of tests changes."""
        return tuple(sorted(self._known.values(), key=lambda one: one.name))

    def of(self, file: Path) -> Project | None:
        """Return the project of a test's file.

        That of the configuration nearest above it; without one, or where ``--modellab-config``
        chooses one for all, the first.

        Raises:
            pytest.UsageError: its configuration cannot be read.
        """
        found = self._nearest_to(file)
        return self.first if found is None else self.at(found)

    def known_of(self, file: Path) -> Project | None:
        """Return the project of a test's file, or None where none was asked for."""
        found = self._nearest_to(file)
        return self.first if found is None else self._known.get(found)

    def of_test(self, nodeid: str) -> Project | None:
        """Return the project of a test by its node id."""
        return self.of(self._config.rootpath / nodeid.partition("::")[0])

    def of_items(self, items: Iterable[pytest.Item]) -> dict[Project, list[pytest.Item]]:
        """Return the tests for the gate, by project."""
        found: dict[Project, list[pytest.Item]] = {}
        for item in items:
            if "gate" in getattr(item, "fixturenames", ()):
                project = self.of(item.path)
                if project is not None:
                    found.setdefault(project, []).append(item)
        return found

    def at(self, path: Path) -> Project:
        """Return the project of a configuration, read where it is not known yet.

        Raises:
            pytest.UsageError: it cannot be read.
        """
        if path not in self._known:
            self._known[path] = Project(self._config, load(path))
        return self._known[path]

    def _nearest_to(self, file: Path) -> Path | None:
        """The configuration nearest above a file, unread; None where the first one is asked for."""
        if self._chosen:
            return None
        if file.parent not in self._nearest:
            from pytest_modellab.config.find import find

            self._nearest[file.parent] = find([file], self._config.rootpath)
        return self._nearest[file.parent]


def projects_of(config: pytest.Config) -> Projects:
    """Return the configurations of a session."""
    return config.stash[PROJECTS]


def project_of(item: pytest.Item | pytest.Function) -> Project:
    """Return the project of a test.

    Raises:
        pytest.UsageError: there is none, or its configuration cannot be read.
    """
    found = projects_of(item.config).of(item.path)
    if found is None:
        raise pytest.UsageError(NONE_FOUND)
    return found


def _from_root(path: Path, root: Path) -> str:
    """A path as node ids begin: from pytest's rootdir, with slashes; else whole."""
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        return str(path)
    return resolved.relative_to(root.resolve()).as_posix()
