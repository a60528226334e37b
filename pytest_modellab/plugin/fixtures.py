"""The fixtures that a test asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin import overrides, status, swallowed
from pytest_modellab.plugin.collection import NEXT, assertion_of, weight_of
from pytest_modellab.plugin.nodeids import from_here, params_of
from pytest_modellab.plugin.projects import NONE_FOUND, Project, project_of, projects_of
from pytest_modellab.visible import CELL, line

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.plugin.assertions import Gate
    from pytest_modellab.plugin.under_test import Candidate
    from pytest_modellab.records.diagnosis import Diagnosis
    from pytest_modellab.records.runs import RunSummary
    from pytest_modellab.records.tasks import TaskSet

FINDINGS: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()


_JUNIT = "modellab_"
"""Begins the properties of a test in JUnit XML."""


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of the test's project: configuration, runs and baselines."""
    project: Project | None = getattr(request, "param", projects_of(request.config).first)
    if project is None:
        raise pytest.UsageError(NONE_FOUND)
    yield project.lab
    project.lab.release()


@pytest.fixture(scope="session")
def candidate(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Candidate]:
    """The variant under test, one after another; loaded on demand, freed before the next.

    What the next one shares with it stays loaded.
    """
    from pytest_modellab.plugin.under_test import Candidate

    yield Candidate(lab, lab.spec(request.param))
    following = request.config.stash.get(NEXT, None)
    if (
        following is None
        or following[0].lab is not lab
        or lab.family(following[1]) != lab.family(request.param)
    ):
        lab.release()


@pytest.fixture
def task_set(request: pytest.FixtureRequest, lab: Lab) -> TaskSet:
    """The task set that the test is marked with."""
    return lab.task_set(request.param)


@pytest.fixture
def diagnosis(request: pytest.FixtureRequest, lab: Lab) -> Callable[[Candidate], Diagnosis]:
    """What examines a variant beside its base.

    ``assert diagnosis(candidate).culprit is None``: both are asked the samples that flipped, of the
    test's task set or of the first that both were run on, else built-in texts; what was examined
    before comes from the store.
    """
    from pytest_modellab.lab import diagnosing, examining

    task_set = params_of(request.node).get("task_set")

    def diagnose(candidate: Candidate) -> Diagnosis:
        pair = examining.pair(lab, candidate.name)
        asked = examining.asked(lab, pair, task_set if isinstance(task_set, str) else None)
        limits = diagnosing.Limits(reuse=lab.settings.reuse)
        return lab.diagnosing.examine(pair, asked, limits).diagnosis

    return diagnose


@pytest.fixture
def gate(request: pytest.FixtureRequest, lab: Lab, task_set: TaskSet) -> Gate:
    """The gate: ``gate.no_regression(candidate)``, ``gate.worst_bucket(candidate)``."""
    from pytest_modellab.gate import split_alpha
    from pytest_modellab.plugin.assertions import Gate
    from pytest_modellab.records.asked import Budget

    alpha = lab.settings.alpha
    item: pytest.Function = request.node
    project = project_of(item)
    if lab is not project.lab:
        raise pytest.UsageError(
            f"{item.nodeid}: asks for the gate while it runs, so it has the lab of another "
            f"configuration than {project.name}; name lab among the test's arguments"
        )
    findings: dict[str, list[str]] = {}  # anew, should the test be run again
    own = [pair for pair in item.user_properties if not pair[0].startswith(_JUNIT)]
    item.user_properties[:] = own
    item.stash[FINDINGS] = findings
    status.begin(item)
    has_allure = request.config.pluginmanager.hasplugin("allure_listener")
    params = params_of(item)
    if has_allure and "candidate" in params:
        # now, so that a test that fails before a verdict stands with its variant too
        from pytest_modellab.reports import allure_report

        allure_report.label_test(
            item.nodeid,
            variant=params["candidate"],
            kind=lab.spec(params["candidate"]).kind,
            task_set=task_set.name,
            capability=params.get("capability"),
        )

    def judged(comparison: Comparison, summary: RunSummary | None) -> None:
        findings.setdefault("comparisons", []).append(comparison.to_json())
        swallowed.keep(item, comparison, lab.settings)
        status.keep(item, comparison, lab.settings)
        if summary is not None:
            findings.setdefault("runs", []).append(summary.to_json())
        item.user_properties.extend(_junit_properties(comparison))
        if has_allure:
            from pytest_modellab.judging.comparison import Comparison
            from pytest_modellab.reports import allure_report

            allure_report.label(comparison)
            allure_report.describe(item, map(Comparison.from_json, findings["comparisons"]))
            allure_report.attach(comparison)

    weights = project.weights
    budget = Budget(share=split_alpha(alpha, weights)[assertion_of(item)], alpha=alpha)
    equal = Budget.shared(alpha, len(weights)).share
    overridden = overrides.of_share(weight_of(item), budget.share, equal, task_set.name)
    accepted = {variant for variant, name in project.candidates if name == task_set.name}
    again = from_here(item.nodeid, request.config)
    return Gate(lab, item.nodeid, task_set, budget, judged, accepted, overridden, again)


def _junit_properties(comparison: Comparison) -> list[tuple[str, object]]:
    """Name the verdict and its first figures, which JUnit XML keeps as properties."""
    found: dict[str, object] = {
        "assertion": comparison.assertion,
        "task_set": comparison.task_set,
        "candidate": comparison.candidate,
        "against": comparison.against,
        "capability": comparison.capability or "all",
        "verdict": comparison.verdict,
    }
    if comparison.outcome != "pass":
        from pytest_modellab.reports.text.table import reason

        found["reason"] = reason(comparison)
    if comparison.accepted is not None:
        found["accepted"] = comparison.accepted
    if comparison.preprocessing:
        found["preprocessing"] = "; ".join(map(str, comparison.preprocessing))
    for worst in comparison.figures[:1]:  # a verdict on latency has none
        found["bucket"] = worst.name
        found["drop"] = f"{worst.drop:.6g}"
        found["p_adjusted"] = f"{worst.p_adjusted:.6g}"
    if comparison.overrides:
        found["overridden"] = "; ".join(map(str, comparison.overrides))
    return [(f"{_JUNIT}{name}", line(str(value), CELL)) for name, value in found.items()]
