"""The pytest plugin: options, markers, fixtures and hooks. Wiring only; nothing heavy imported."""

from __future__ import annotations

import functools
import json
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.engines import environment
from pytest_modellab.plugin import bar, diagnosing, status, swallowed
from pytest_modellab.plugin.collection import MARKERS, WEIGHTS, params_of
from pytest_modellab.plugin.diagnosing import Outcome
from pytest_modellab.plugin.failing import MessageAlone, Once
from pytest_modellab.plugin.fixtures import FINDINGS
from pytest_modellab.plugin.missing import Missing
from pytest_modellab.plugin.misspelt import check_ini
from pytest_modellab.plugin.notes import NOTES, StoreNotes
from pytest_modellab.plugin.options import GITHUB, choice, path_option
from pytest_modellab.plugin.session import CONFIG, declare_markers, lab_of, load_config, settings_of
from pytest_modellab.plugin.unjudged import Unjudged
from pytest_modellab.plugin.updating import check_asked

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig


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
    config.stash[CONFIG] = load_config(config)
    if config.stash[CONFIG] is not None:
        from pytest_modellab.variants import KINDS

        declare_markers(config, KINDS.values())
    found = config.stash[CONFIG]
    if found is not None:
        config.pluginmanager.register(Missing(), "modellab_missing")
        environment.share(int(worker["workercount"]) if worker is not None else 1)
        unjudged = Unjudged(config, found)
        config.pluginmanager.register(unjudged, "modellab_unjudged")
        diagnosing.diagnoser_of(config)  # a wrong option is refused before any test
        if worker is None:
            check_asked(config)
            _register_controller(config, found, unjudged)


def _register_controller(config: pytest.Config, found: LabConfig, unjudged: Unjudged) -> None:
    """Collect what the tests found, and distribute them, where a configuration is."""
    from pytest_modellab.plugin.collector import Collector
    from pytest_modellab.plugin.printing import Printing

    config.pluginmanager.register(Once(), "modellab_once")
    config.pluginmanager.register(Printing(), "modellab_printing")
    config.pluginmanager.register(
        Collector(
            config,
            variants=found.variants,
            settings=settings_of(config),
            lab=functools.partial(lab_of, config),
            json_path=path_option(config, "json"),
            markdown_path=path_option(config, "markdown"),
            github=choice(config, "github", GITHUB) == "auto",
            mlflow=found.mlflow,
            unjudged=unjudged.lines,
            bar=functools.partial(bar.lines, found),
        ),
        "modellab_collector",
    )
    if config.pluginmanager.hasplugin("xdist"):
        from pytest_modellab.plugin.scheduler import Distribution

        config.pluginmanager.register(Distribution(found), "modellab_distribution")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the configuration."""
    found = config.stash.get(CONFIG, None)
    if found is None:
        return None
    from pytest_modellab.version import __version__

    return (
        f"modellab {__version__}: {found.path}, {len(found.variants)} variants, "
        f"{len(found.task_sets)} task sets"
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
        findings["assertions"] = [str(len(item.config.stash[WEIGHTS]))]
        vars(report)["modellab"] = json.dumps(findings)  # travels with the report
    return report
