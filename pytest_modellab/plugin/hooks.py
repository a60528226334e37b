"""The pytest plugin: options, markers, fixtures and hooks. Wiring only; nothing heavy imported."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.engines import environment
from pytest_modellab.plugin import diagnosing, sizes, status, swallowed
from pytest_modellab.plugin.collection import MARKERS, Apart
from pytest_modellab.plugin.diagnosing import Outcome
from pytest_modellab.plugin.failing import MessageAlone, Once
from pytest_modellab.plugin.fixtures import FINDINGS
from pytest_modellab.plugin.missing import Missing
from pytest_modellab.plugin.misspelt import check_ini
from pytest_modellab.plugin.nodeids import params_of
from pytest_modellab.plugin.notes import NOTES, StoreNotes
from pytest_modellab.plugin.projects import PROJECTS, Projects, project_of, projects_of
from pytest_modellab.plugin.session import declare_markers
from pytest_modellab.plugin.unjudged import Unjudged
from pytest_modellab.plugin.updating import check_asked

if TYPE_CHECKING:
    from pytest_modellab.plugin.projects import Project

THEIRS = (".torch.jit.script_method. is deprecated:DeprecationWarning",)
"""Warnings of libraries about themselves, that nobody who tests a model can do anything about."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the extension points."""
    from pytest_modellab.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the configuration; in a worker, take a share of the threads."""
    check_ini(config)
    config.pluginmanager.register(MessageAlone(), "modellab_message_alone")
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    worker = getattr(config, "workerinput", None)
    if worker is not None and hasattr(config.option, "clean_alluredir"):
        config.option.clean_alluredir = False  # else a replaced worker wipes the results
    StoreNotes.listen(config)
    projects = config.stash[PROJECTS] = Projects(config)
    if projects.first is None:
        return
    from pytest_modellab.variants import KINDS

    declare_markers(config, KINDS.values())
    for warning in THEIRS:
        config.addinivalue_line("filterwarnings", f"ignore:{warning}")
    config.pluginmanager.register(Missing(), "modellab_missing")
    config.pluginmanager.register(Apart(), "modellab_apart")
    environment.share(int(worker["workercount"]) if worker is not None else 1)
    unjudged = Unjudged(config, projects)
    config.pluginmanager.register(unjudged, "modellab_unjudged")
    diagnosing.diagnoser_of(config)  # a wrong option is refused before any test
    if worker is None:
        check_asked(config)
        projects.first.settings  # noqa: B018 - as above
        _register_controller(config, projects, unjudged)


def _register_controller(config: pytest.Config, projects: Projects, unjudged: Unjudged) -> None:
    """Collect what the tests found, and distribute them, where a configuration is."""
    from pytest_modellab.plugin.collector import Collector
    from pytest_modellab.plugin.printing import Printing

    config.pluginmanager.register(Once(), "modellab_once")
    config.pluginmanager.register(Printing(), "modellab_printing")
    config.pluginmanager.register(Collector(config, projects, unjudged), "modellab_collector")
    if config.pluginmanager.hasplugin("xdist"):
        from pytest_modellab.plugin.scheduler import Distribution

        config.pluginmanager.register(Distribution(projects), "modellab_distribution")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the configuration; others than the first are named when tests are collected."""
    found = projects_of(config).first
    if found is None:
        return None
    from pytest_modellab.version import __version__

    return f"modellab {__version__}: {_told(found.declared.path, found)}"


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> list[str]:
    """Name the configurations of further tests, and task sets that are too small to pass."""
    projects = projects_of(config)
    further = [one for one in projects.of_items(items) if one is not projects.first]
    also = [f"modellab: also {_told(one.name, one)}" for one in further]
    return [*also, *sizes.notes(config, items)]


def _told(name: object, project: Project) -> str:
    declared, compared = project.declared, project.compared
    against = "" if compared is None else f"; compared with the accepted runs of {compared}"
    return (
        f"{name}, {len(declared.variants)} variants, {len(declared.task_sets)} task sets{against}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send what was judged along with the test's report, across xdist too: one JSON string."""
    judged: dict[str, list[str]] = item.stash.get(FINDINGS, {})
    explained = Outcome()
    # a set-up that passes is followed by the test, whose report says it
    if call.when == "call" or (call.when == "setup" and call.excinfo is not None):
        explained = diagnosing.explain(item, call, judged.get("comparisons", []))
    report = yield
    if report.when == "setup":  # should the worker die in the test, no other report follows
        variant = params_of(item).get("candidate")
        vars(report)["modellab_variant"] = variant if isinstance(variant, str) else None
    said = [*explained.notes, *item.config.stash[NOTES].take()]
    if said and "lab" in getattr(item, "fixturenames", ()):  # else a test of the store itself
        vars(report)["modellab_notes"] = said
    findings: dict[str, list[str]] = {}
    raised = False
    is_gated = "gate" in getattr(item, "fixturenames", ())
    if is_gated and call.excinfo is not None:
        from pytest_modellab.errors import (
            FloorViolated,
            RegressionDetected,
            VerdictInconclusive,
            cause_of,
        )

        settled = "comparisons" in judged
        blocked = (FloorViolated, RegressionDetected, VerdictInconclusive)
        raised = settled and call.excinfo.errisinstance(blocked)
        if report.failed and not raised:
            params = params_of(item)
            error = {
                "test": item.nodeid,
                "variant": params.get("candidate"),
                "message": ("after its verdict: " if settled else "") + str(call.excinfo.value),
                "kind": call.excinfo.typename,
                "command": getattr(call.excinfo.value, "command", ""),
                "cause": cause_of(call.excinfo.value),
            }
            findings["errors"] = [json.dumps(error)]
    # where a fixture asks the gate and the test never begins, its setup is all that reports
    if report.when == "call" or (report.when == "setup" and not report.passed):
        findings.update(judged)
        findings.update(diagnosing.sent(explained))
        findings.update(swallowed.sent(item, report, judged.get("comparisons", []), raised=raised))
    status.send(item, report)  # of what has not been made a failure
    if findings:
        findings["assertions"] = [str(len(project_of(item).weights))]
        vars(report)["modellab"] = json.dumps(findings)  # travels with the report
    return report
