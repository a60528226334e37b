"""An undecided test is no green dot: pytest's line, its list and its count say so."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

UNDECIDED = ("--modellab-margin=0",)  # nothing can pass at an allowed drop of 0
OPEN = "*; with an allowed drop of 0 nothing can pass: set a margin"
SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain")]

def test_overall(candidate, gate):
    gate.no_regression(candidate)

def test_worst_bucket(candidate, gate):
    gate.worst_bucket(candidate)
"""


@pytest.fixture
def recorded(project: pytest.Pytester) -> pytest.Pytester:
    """The project with two tests of a variant whose baseline is recorded."""
    (project.path / "test_suite.py").write_text(SUITE)
    project.runpytest_inprocess("--modellab-update", "-p", "no:cacheprovider")
    return project


def junit(project: pytest.Pytester) -> ET.Element:
    text = (project.path / "junit.xml").read_text(encoding="utf-8")
    return ET.fromstring(text)[0]  # noqa: S314 - pytest's own


def properties(project: pytest.Pytester) -> list[str | None]:
    return [one.get("name") for one in junit(project).iter("property")]


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    assert result.ret == 0
    return result.parseoutcomes()


def test_letter_word_count_list_and_junit_xml(recorded: pytest.Pytester) -> None:
    result = recorded.runpytest_inprocess(*UNDECIDED, "-ra", "--junit-xml=junit.xml")
    assert outcomes(result) == {"passed": 1, "inconclusive": 1}
    result.stdout.fnmatch_lines(
        [
            "test_suite.py ?. *",
            "*= inconclusive tests =*",
            f"INCONCLUSIVE test_suite.py::test_overall[[]plain[]] - the mean score stayed "
            f"at {OPEN}",
            "*= 1 passed, 1 inconclusive in *",
        ]
    )
    suite = junit(recorded)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "0")
    told = [
        {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in suite.iter("testcase")
    ]
    assert [one["modellab_verdict"] for one in told] == ["inconclusive", "pass"]
    assert str(told[0]["modellab_reason"]).endswith("nothing can pass: set a margin")
    assert "modellab_reason" not in told[1]

    again = recorded.runpytest_inprocess(*UNDECIDED, "-v", "--lf")
    assert outcomes(again) == {"passed": 1, "inconclusive": 1}
    again.stdout.fnmatch_lines(
        [
            "*no previously failed tests*",
            "test_suite.py::test_overall[[]plain[]] INCONCLUSIVE *",
            "test_suite.py::test_worst_bucket[[]plain[]] PASSED *",
        ]
    )
    again.stdout.no_fnmatch_line("*inconclusive tests*")
    quiet = recorded.runpytest_inprocess(*UNDECIDED, "-q")
    quiet.stdout.fnmatch_lines(["?. *", "1 passed, 1 inconclusive in *"])


def test_what_is_to_pass_is_a_dot_and_what_is_to_fail_a_failure(recorded: pytest.Pytester) -> None:
    dots = recorded.runpytest_inprocess(*UNDECIDED, "--modellab-on-inconclusive=pass", "-ra")
    assert outcomes(dots) == {"passed": 2}
    failed = recorded.runpytest_inprocess(*UNDECIDED, "--modellab-on-inconclusive=fail", "-ra")
    assert (failed.ret, failed.parseoutcomes()) == (1, {"failed": 1, "passed": 1})
    failed.stdout.fnmatch_lines(["test_suite.py F. *", "FAILED test_suite.py::test_overall*"])
    failed.stdout.no_fnmatch_line("*inconclusive tests*")


def test_an_expected_failure_and_a_test_that_fails_later_keep_their_own(
    recorded: pytest.Pytester,
) -> None:
    (recorded.path / "test_suite.py").write_text(
        SUITE.replace("def test_worst_bucket", "@pytest.mark.xfail\ndef test_worst_bucket").replace(
            "    gate.no_regression(candidate)", "    gate.no_regression(candidate)\n    assert 0"
        )
        + "    gate.no_regression(candidate)\n"
    )
    result = recorded.runpytest_inprocess(*UNDECIDED)
    assert result.parseoutcomes() == {"failed": 1, "xfailed": 1}


def test_workers_tell_the_controller(recorded: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = recorded.runpytest_inprocess(*UNDECIDED, "-n2", "-v", "-ra", "--junit-xml=junit.xml")
    assert outcomes(result) == {"passed": 1, "inconclusive": 1}
    result.stdout.fnmatch_lines(
        [
            "*] INCONCLUSIVE test_suite.py::test_overall[[]plain[]] *",
            f"INCONCLUSIVE test_suite.py::test_overall[[]plain[]] - the mean score stayed "
            f"at {OPEN}",
        ]
    )
    names = properties(recorded)
    assert names.count("modellab_verdict") == 2
    assert names.count("modellab_reason") == 1


def test_an_attempt_that_is_settled_is_not_undecided_any_more(recorded: pytest.Pytester) -> None:
    (recorded.path / "test_suite.py").write_text(
        SUITE.replace(
            "def test_overall(candidate, gate):\n    gate.no_regression(candidate)",
            "tries = []\ndef test_overall(candidate, gate):\n    tries.append(1)\n"
            "    gate.no_regression(candidate, margin=0 if len(tries) == 1 else 0.9)",
        )
    )
    (recorded.path / "conftest.py").write_text(
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    runtestprotocol(item, nextitem=nextitem, log=False)\n"
        "    runtestprotocol(item, nextitem=nextitem)\n"
        "    return True\n"
    )
    result = recorded.runpytest_inprocess("--junit-xml=junit.xml")
    assert outcomes(result) == {"passed": 2}
    names = properties(recorded)
    assert names.count("modellab_verdict") == 2, "those of the first attempt are no longer told"
