"""What is no longer judged is said: what was accepted or declared, and no test asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin.collection import CANDIDATES, params_of
from pytest_modellab.plugin.options import path_option

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.reports.session import TestError

Pair = tuple[str, str]
"""A variant and a task set."""


class Unjudged:
    """Plugin that knows what was left out on purpose; workers send it to the controller.

    Args:
        config: the session's.
        declared: the configuration.
    """

    def __init__(self, config: pytest.Config, declared: LabConfig) -> None:
        self._config = config
        self._declared = declared
        self._deselected: set[Pair] = set()
        self._gated = False

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Keep what ``-m``, ``-k`` and the like leave out."""
        for item in items:
            if "gate" in getattr(item, "fixturenames", ()):
                params = params_of(item)
                self._deselected.add((str(params.get("candidate")), str(params.get("task_set"))))

    def pytest_sessionfinish(self) -> None:
        """Send it from a worker, with whether any test was for the gate."""
        self._gated |= bool(self._deselected or self._config.stash.get(CANDIDATES, ()))
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["modellab_deselected"] = sorted(map(list, self._deselected))
            output["modellab_gated"] = self._gated

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take it in the controller."""
        output = getattr(node, "workeroutput", {})
        sent = output.get("modellab_deselected", ())
        self._deselected.update((variant, task_set) for variant, task_set in sent)
        self._gated |= output.get("modellab_gated", False)

    def lines(
        self,
        complete: bool,
        found: Callable[[], tuple[Sequence[Comparison], Sequence[TestError]]],
    ) -> list[str]:
        """Say what nothing judged; empty where the session was of some files only, or was cut.

        Args:
            complete: whether all tests reported.
            found: gives what was compared and what failed.
        """
        if not complete or self._of_some_files():
            return []
        comparisons, errors = found()
        failed = {error.variant for error in errors}
        judged: dict[Pair, list[Comparison]] = {}
        for comparison in comparisons:
            judged.setdefault((comparison.candidate, comparison.task_set), []).append(comparison)
        references = {(c.against.removeprefix("baseline of "), c.task_set) for c in comparisons}
        without: dict[str, list[str]] = {}
        apart: dict[str, list[str]] = {}
        for variant, task_set in self._accepted():
            pair = (variant, task_set)
            if pair in self._deselected or variant in failed:
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
        if judged and not self._deselected:  # of a part, what was only declared is of no interest
            said += self._never("", set(self._declared.variants) - variants)
            said += self._never("task set ", set(self._declared.task_sets) - task_sets)
        return said

    def _never(self, what: str, names: set[str]) -> list[str]:
        where = self._declared.path.name
        return [f"not judged: {what}{', '.join(sorted(names))}, declared in {where}"] * bool(names)

    def _accepted(self) -> Iterable[Pair]:
        from pytest_modellab.baselines import file

        for task_set in self._declared.task_sets:
            for variant in self._declared.variants:
                if file.path_of(self._declared.baselines, task_set, variant).exists():
                    yield variant, task_set

    def _of_some_files(self) -> bool:
        """Whether the call names files, folders or tests, so that others were never collected.

        Test paths, and a configuration from elsewhere, may be for other tests altogether: such a
        session is for the gate where it has a test of it.
        """
        config, source = self._config, self._config.args_source
        for name in ("lf", "ignore", "ignore_glob"):
            if getattr(config.option, name, None):
                return True
        if source is pytest.Config.ArgsSource.TESTPATHS:
            return not self._gated
        if path_option(config, "config") is not None:
            return source is pytest.Config.ArgsSource.ARGS or not self._gated
        folders = [config.invocation_params.dir / arg for arg in config.args]
        root = self._declared.root.resolve()
        return not any(root.is_relative_to(folder.resolve()) for folder in map(Path, folders))


def _with_its_own(comparison: Comparison) -> bool:
    from pytest_modellab.baselines.accepted import OWN_BASELINE

    return comparison.against == OWN_BASELINE or comparison.assertion == "no_drift"


def _names(found: dict[str, list[str]]) -> Iterable[str]:
    return (name for names in found.values() for name in names)
