"""Rules that an option, an ini file or a test sets stand beside the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("warmed")


def overrides(project: pytest.Pytester) -> list[str]:
    """What the JSON report lists."""
    found: list[str] = json.loads((project.path / "report.json").read_text())["overrides"]
    return found


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_ini_file_and_options_are_named(project: pytest.Pytester, workers: list[str]) -> None:
    project.runpytest_inprocess("--modellab-update", "-k", "overall and plain")
    project.makeini("[pytest]\nmodellab_margin = 0.9\nmodellab_alpha = 0.000000001\n")
    result = project.runpytest_inprocess(
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
        "capability_margin 0.5 instead of 0.2 on words (asked by the test)",
        "floor 0.001 instead of 0.02 on words (asked by the test)",
        "margin 0.4 instead of 0.1 on words (asked by the test)",
    ]


def test_one_option_for_both_margins_names_each(project: pytest.Pytester) -> None:
    options = ("--modellab-update", "--modellab-margin=0.3", "--modellab-json=report.json")
    result = project.runpytest_inprocess("-k", "plain", *options)
    assert overrides(project) == [
        "capability_margin 0.3 instead of 0.2 on words (--modellab-margin)",
        "margin 0.3 instead of 0.1 on words (--modellab-margin)",
    ]
    result.stdout.fnmatch_lines(
        [
            "*; overridden: capability_margin 0.3 instead of 0.2 on words, margin 0.3 instead of "
            "0.1 on words."
        ]
    )


WEIGHED = """
import pytest
pytestmark = pytest.mark.variants('plain')
@pytest.mark.alpha_weight({weight})
def test_overall(candidate, gate):
    gate.no_regression(candidate)
@pytest.mark.alpha_weight({other})
def test_floor(candidate, gate):
    gate.worst_bucket(candidate)
"""


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_block_that_its_weight_takes_away_is_named(
    project: pytest.Pytester, raise_baseline: Callable[[str], None], workers: list[str]
) -> None:
    project.runpytest_inprocess("--modellab-update", "-k", "overall and plain")
    raise_baseline("plain")
    suite = project.path / "test_suite.py"
    suite.write_text(WEIGHED.format(weight="1e-300", other=1))
    result = project.runpytest_inprocess(*workers, "--modellab-json=report.json")
    assert result.ret == pytest.ExitCode.OK
    assert overrides(project) == [
        "alpha share 5e-302 instead of 0.025 on words (asked by the test)"
    ]
    result.stdout.fnmatch_lines(
        ["INCONCLUSIVE: *; overridden: alpha share 5e-302 instead of 0.025 on words."]
    )
    suite.write_text(WEIGHED.format(weight=1, other=1))
    assert project.runpytest_inprocess().ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("weight", "other", "shares"),
    [
        (3, 1, []),  # as the README says: more for one
        (0.1, 0.1, []),  # as much as without
        (0.5, 0.1, ["0.00833333"]),
        (0.9999, 1, ["0.0249987"]),
    ],
)
def test_a_weight_is_named_where_the_share_is_less(
    project: pytest.Pytester, weight: float, other: float, shares: list[str]
) -> None:
    (project.path / "test_suite.py").write_text(WEIGHED.format(weight=weight, other=other))
    project.runpytest_inprocess("--modellab-update", "--modellab-json=report.json")
    assert overrides(project) == [
        f"alpha share {share} instead of 0.025 on words (asked by the test)" for share in shares
    ]


def test_a_weight_that_starves_other_tests_is_named(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(WEIGHED.format(weight=1e12, other=1))
    project.runpytest_inprocess("--modellab-update", "--modellab-json=report.json")
    assert overrides(project) == [
        "alpha share 5e-14 instead of 0.025 on words (left by the weights of other tests)"
    ]


def test_what_says_the_same_as_the_project_is_no_override(project: pytest.Pytester) -> None:
    options = ("--modellab-alpha=0.05", "--modellab-on-inconclusive=warn")
    project.runpytest_inprocess(
        "--modellab-update", "-k", "overall", "--modellab-json=report.json", *options
    )
    assert overrides(project) == []
