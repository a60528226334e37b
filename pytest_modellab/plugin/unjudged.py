"""What is no longer judged is said: what was accepted or declared, and no test asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin.nodeids import params_of
from pytest_modellab.plugin.options import path_option

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.plugin.projects import Project, Projects
    from pytest_modellab.reports.session import TestError

Pair = tuple[str, str]
"""A variant and a task set."""


class Unjudged:
    """Plugin that knows what was left out on purpose; workers send it to the controller.

    Args:
        config: the session's.
        projects: its configurations.
    """

    def __init__(self, config: pytest.Config, projects: Projects) -> None:
        self._config = config
        self._projects = projects
        self._deselected: dict[Path, set[Pair]] = {}
        self._gated: set[Path] = set()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Keep what ``-m``, ``-k`` and the like leave out."""
        for project, tests in self._projects.of_items(items).items():
            left_out = self._deselected.setdefault(project.declared.path, set())
            for params in map(params_of, tests):
                left_out.add((str(params.get("candidate")), str(params.get("task_set"))))

    def pytest_sessionfinish(self) -> None:
        """Send it from a worker, with whether any test was for the gate."""
        for project in self._projects.known:
            if project.candidates or self._deselected.get(project.declared.path):
                self._gated.add(project.declared.path)
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["modellab_configurations"] = {
                str(project.declared.path): {
                    "deselected": sorted(
                        map(list, self._deselected.get(project.declared.path, ()))
                    ),
                    "gated": project.declared.path in self._gated,
                }
                for project in self._projects.known
            }

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take it in the controller."""
        sent = getattr(node, "workeroutput", {}).get("modellab_configurations", {})
        for place, found in sent.items():
            path = self._projects.at(Path(place)).declared.path
            pairs = {(variant, task_set) for variant, task_set in found["deselected"]}
            self._deselected.setdefault(path, set()).update(pairs)
            if found["gated"]:
                self._gated.add(path)

    def lines(
        self,
        project: Project,
        complete: bool,
        found: Callable[[], tuple[Sequence[Comparison], Sequence[TestError]]],
    ) -> list[str]:
        """Say what nothing judged; empty where the session was of some files only, or was cut.

        Of several configurations, one whose tests were all left out has nothing to say.

        Args:
            project: of which configuration.
            complete: whether all tests reported.
            found: gives what was compared and what failed.
        """
        declared = project.declared
        deselected = self._deselected.get(declared.path, set())
        if not complete or self._of_some_files(declared):
            return []
        comparisons, errors = found()
        several = len(self._projects.known) > 1
        if several and deselected and not comparisons and not errors:
            return []  # all of its tests were left out: the session is of others
        failed = {error.variant for error in errors}
        judged: dict[Pair, list[Comparison]] = {}
        for comparison in comparisons:
            judged.setdefault((comparison.candidate, comparison.task_set), []).append(comparison)
        references = {(c.against.removeprefix("baseline of "), c.task_set) for c in comparisons}
        without: dict[str, list[str]] = {}
        apart: dict[str, list[str]] = {}
        for variant, task_set in _accepted(declared):
            pair = (variant, task_set)
            if pair in deselected or variant in failed:
                continue
            if pair not in judged and pair not in references:
                without.setdefault(task_set, []).append(variant)
            elif pair in judged and not any(map(_with_its_own, judged[pair])):
                apart.setdefault(task_set, []).append(variant)
        known = {*judged, *references}
        variants = {*(pair[0] for pair in known), *failed, *_names(without)}
        task_sets = {*(pair[1] for pair in known), *without}
        said = [
            f"not judged: {', '.join(names)} on {task_set}, accepted before"
            for task_set, names in without.items()
        ]
        said += [
            f"not compared with the accepted baseline: {', '.join(names)} on {task_set}"
            for task_set, names in apart.items()
        ]
        if judged and not deselected:  # of a part, what was only declared is of no interest
            said += _never(declared, "", set(declared.variants) - variants)
            said += _never(declared, "task set ", set(declared.task_sets) - task_sets)
        return said

    def _of_some_files(self, declared: LabConfig) -> bool:
        """Whether the call names files, folders or tests, so that others were never collected.

        Test paths, and a configuration from elsewhere, may be for other tests altogether: such a
        session is for the gate where it has a test of it.
        """
        config, source = self._config, self._config.args_source
        for name in ("lf", "ignore", "ignore_glob"):
            if getattr(config.option, name, None):
                return True
        gated = declared.path in self._gated
        if source is pytest.Config.ArgsSource.TESTPATHS:
            return not gated
        if path_option(config, "config") is not None:
            return source is pytest.Config.ArgsSource.ARGS or not gated
        folders = [config.invocation_params.dir / arg for arg in config.args]
        root = declared.root.resolve()
        return not any(root.is_relative_to(folder.resolve()) for folder in map(Path, folders))


def _with_its_own(comparison: Comparison) -> bool:
    from pytest_modellab.baselines.accepted import OWN_BASELINE

    return comparison.against == OWN_BASELINE or comparison.assertion == "no_drift"


def _accepted(declared: LabConfig) -> Iterable[Pair]:
    from pytest_modellab.baselines import file

    for task_set in declared.task_sets:
        for variant in declared.variants:
            if file.path_of(declared.baselines, task_set, variant).exists():
                yield variant, task_set


def _never(declared: LabConfig, what: str, names: set[str]) -> list[str]:
    named = f"not judged: {what}{', '.join(sorted(names))}, declared in {declared.path.name}"
    return [named] * bool(names)


def _names(found: dict[str, list[str]]) -> Iterable[str]:
    return (name for names in found.values() for name in names)
