"""Rules that an option, an ini file or a test sets stand beside the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def overrides(project: pytest.Pytester) -> list[str]:
    """What the JSON report lists."""
    found: list[str] = json.loads((project.path / "report.json").read_text())["overrides"]
    return found


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_ini_file_and_options_are_named(project: pytest.Pytester, workers: list[str]) -> None:
    project.runpytest_subprocess("--modellab-update", "-k", "overall and plain")
    project.makeini("[pytest]\nmodellab_margin = 0.9\nmodellab_alpha = 0.000000001\n")
    result = project.runpytest_subprocess(
        *workers,
        "-k",
        "overall and plain",
        "--modellab-on-inconclusive=pass",
        "--modellab-json=report.json",
        "--junitxml=junit.xml",
    )
    result.stdout.fnmatch_lines(
        [
            "overridden: alpha 1e-09 instead of 0.05 (ini setting modellab_alpha)",
            "overridden: on-inconclusive pass instead of warn (--modellab-on-inconclusive)",
            "overridden: margin 0.9 instead of 0.1 on words (ini setting modellab_margin)",
            "alpha 1e-09 shared by 1 assertion",
            "*; overridden: alpha 1e-09 instead of 0.05, on-inconclusive pass instead of warn, "
            "margin 0.9 instead of 0.1 on words.",
        ]
    )
    assert len(overrides(project)) == 3
    assert (
        '<property name="modellab_overridden" value="alpha 1e-09 instead of 0.05 (ini setting '
        "modellab_alpha); on-inconclusive pass instead of warn (--modellab-on-inconclusive); "
        'margin 0.9 instead of 0.1 on words (ini setting modellab_margin)" />'
    ) in (project.path / "junit.xml").read_text()


def test_what_a_test_sets_is_named_where_it_differs(project: pytest.Pytester) -> None:
    Path(project.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.variants('plain')\n"
        "def test_declared(candidate, gate):\n"
        "    gate.no_regression(candidate, margin=0.1)\n"
        "def test_wider(candidate, capability, gate):\n"
        "    gate.no_regression(candidate, capability=capability, margin=0.5)\n"
        "def test_drift(candidate, gate):\n"
        "    gate.no_drift(candidate, margin=0.4)\n"
        "def test_lower(candidate, gate):\n"
        "    gate.worst_bucket(candidate, floor=0.001)\n"
    )
    result = project.runpytest_inprocess("--modellab-update", "--modellab-json=report.json")
    assert result.ret == 0
    assert overrides(project) == [
        "floor 0.001 instead of 0.02 on words (asked by the test)",
        "margin 0.4 instead of 0.1 on words (asked by the test)",
        "margin 0.5 instead of 0.2 on words (asked by the test)",
    ]


def test_what_says_the_same_as_the_project_is_no_override(project: pytest.Pytester) -> None:
    options = ("--modellab-alpha=0.05", "--modellab-on-inconclusive=warn")
    project.runpytest_inprocess(
        "--modellab-update", "-k", "overall", "--modellab-json=report.json", *options
    )
    assert overrides(project) == []
