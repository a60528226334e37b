"""A task set that is too small to pass says so when tests are collected, before anything is run."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin.nodeids import params_of
from pytest_modellab.plugin.projects import Project, projects_of

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.enough import Size
    from pytest_modellab.records.tasks import Sample

_ASSERTIONS = {"no_regression", "no_drift"}
"""Those that judge by the task set's margins, and always the samples that are declared."""


def notes(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Say once a task set what its selected tests cannot pass; no model is looked at."""
    if config.option.collectonly:
        return []
    projects = projects_of(config)
    told = [
        f"{project.name}: {text}" if len(projects.known) > 1 else text
        for project, tests in projects.of_items(items).items()
        for text in _of_project(project, tests)
    ]
    return [f"note: {text}" for text in told]


def _of_project(project: Project, items: Sequence[pytest.Item]) -> list[str]:
    asked = {one: None for item in items if (one := _asked(item)) is not None}
    if not asked:
        return []
    from pytest_modellab.errors import ModellabError

    lab = project.lab
    if lab.settings.update or lab.settings.on_inconclusive == "pass":
        return []
    told: list[str] = []
    for name in dict.fromkeys(task_set for task_set, _ in asked):
        try:
            told += _told(lab, name, [capability for one, capability in asked if one == name])
        except ModellabError:  # which its tests tell
            continue
    return told


def _told(lab: Lab, name: str, capabilities: Iterable[str | None]) -> list[str]:
    from pytest_modellab.records.enough import Size, too_small

    allowed = lab.config.task_sets[name].allowed(lab.settings.margin)
    samples = lab.outline(name).samples

    def sizes() -> Iterator[Size]:
        for capability in capabilities:
            own = [s for s in samples if capability in (None, s.capability)]
            margin = allowed.of(capability)
            if own:
                yield Size.of(capability, len(own), _clusters(own), margin, lab.settings.alpha)

    return [f"{name}: {text}" for text in too_small(sizes())]


def _clusters(samples: Iterable[Sample]) -> int:
    return len({("cluster", s.cluster) if s.cluster else ("sample", s.id) for s in samples})


def _asked(item: pytest.Item) -> tuple[str, str | None] | None:
    """The task set and capability that a test judges by the declared margin, as far as is seen.

    Its code tells, unread and not run: the names that it uses, and those that it gives arguments
    by. One that sets a margin or a metric of its own is left to the verdict, which tells it, too.
    """
    if not isinstance(item, pytest.Function) or "gate" not in item.fixturenames:
        return None
    params = params_of(item)
    code = getattr(inspect.unwrap(item.function), "__code__", None)
    if code is None or not isinstance(params.get("task_set"), str):
        return None
    given = {name for one in code.co_consts if isinstance(one, tuple) for name in one}
    if not _ASSERTIONS.intersection(code.co_names) or given & {"margin", "metric"}:
        return None
    capability = params.get("capability") if "capability" in given else None
    return params["task_set"], capability if isinstance(capability, str) else None
