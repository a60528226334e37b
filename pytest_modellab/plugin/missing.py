"""Files that selected tests need and that are not there, told when the tests are collected.

The tests concerned fail at once, each with the one line; all others run.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_modellab.plugin.nodeids import params_of
from pytest_modellab.plugin.projects import Project, projects_of

MISSING: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
"""Of a test, what keeps it from running."""


class Missing:
    """Plugin of every process with a configuration."""

    @pytest.hookimpl(tryfirst=True)  # before what was collected is printed
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Look for what the tests that were selected need, each once."""
        for project, items in projects_of(session.config).of_items(session.items).items():
            _look(project, items)

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say what is missing before the first test runs."""
        tests: dict[str, int] = {}
        for item in items:
            for told in item.stash.get(MISSING, ()):
                tests[told] = tests.get(told, 0) + 1
        from pytest_modellab.visible import line

        return [
            line(f"missing: {told} ({count} test{'s need' if count > 1 else ' needs'} it)")
            for told, count in tests.items()
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail the tests concerned before anything is loaded for them."""
        if found := item.stash.get(MISSING, ()):
            from pytest_modellab.errors import ConfigError

            raise ConfigError("\n".join(found))


def _look(project: Project, items: Sequence[pytest.Item]) -> None:
    """Keep with each test what it needs and is not there."""
    from pytest_modellab.lab.absent import Absent

    config = project.checked
    absent = Absent(config, project.extensions.kinds)
    known: dict[str, tuple[str, ...]] = {}
    for item in items:
        params = params_of(item)
        variant, task_set = params.get("candidate"), params.get("task_set")
        found: list[str] = []
        if isinstance(task_set, str) and task_set in config.task_sets:
            key = f"task set {task_set}"
            found += known.setdefault(key, absent.of_task_set(task_set))
        if isinstance(variant, str) and variant in config.variants:
            if variant not in known:
                known[variant] = absent.of_variant(variant)
            found += known[variant]
        if found:
            item.stash[MISSING] = tuple(found)
