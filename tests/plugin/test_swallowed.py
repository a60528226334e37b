"""A block that a marker, a rerun, a skip or the test itself makes a success fails the session."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

HEAD = "import pytest\npytestmark = pytest.mark.variants('plain')\n"

CAUGHT = f"""{HEAD}
def test_overall(candidate, gate):
    try:
        gate.no_regression(candidate)
    except AssertionError:
        pass
"""

RAISES = f"""{HEAD}
def test_overall(candidate, gate):
    with pytest.raises(AssertionError):
        gate.no_regression(candidate)
"""

SKIPPED = f"""{HEAD}
def test_overall(candidate, gate):
    try:
        gate.no_regression(candidate)
    except AssertionError:
        pytest.skip("not today")
"""

FIXTURE = f"""{HEAD}
@pytest.fixture
def judged(candidate, gate):
    try:
        gate.no_regression(candidate)
    except AssertionError:
        pytest.skip("not today")
def test_overall(judged):
    pass
"""

XFAIL = f"""{HEAD}
@pytest.mark.xfail
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

STRICT = f"""{HEAD}
from pytest_modellab.errors import RegressionDetected
@pytest.mark.xfail(raises=RegressionDetected, strict=True)
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

IMPERATIVE = f"""{HEAD}
def test_overall(candidate, gate):
    try:
        gate.no_regression(candidate)
    except AssertionError:
        pytest.xfail("known")
"""

PLAIN = f"""{HEAD}
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

ONCE = f"""{HEAD}
tries = []
def test_overall(candidate, gate):
    tries.append(1)
    if len(tries) == 1:
        gate.no_regression(candidate)
"""

GREEN = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.outcome, report.longrepr = "passed", None
    return report
"""

AGAIN = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    for log in {logged}:
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        last = log == 2 or not any(report.failed for report in reports)
        for report in reports:
            if not last and report.failed:
                report.outcome = "rerun"
            if last or log == 1:
                item.ihook.pytest_runtest_logreport(report=report)
        if last:
            break
    return True
"""
HIDDEN = AGAIN.format(logged="(0, 2)")
LOGGED = AGAIN.format(logged="(1, 2)")


@pytest.fixture
def dropped(
    project: pytest.Pytester, update: Callable[..., None], raise_baseline: Callable[[str], None]
) -> pytest.Pytester:
    """The project after a drop of plain."""
    update("-k", "overall and plain")
    raise_baseline("plain")
    return project


@pytest.mark.parametrize(
    ("suite", "conftest", "how"),
    [
        pytest.param(CAUGHT, "", "the test, which caught it,", id="caught"),
        pytest.param(RAISES, "", "the test, which caught it,", id="raises"),
        pytest.param(SKIPPED, "", "a skip", id="skip"),
        pytest.param(FIXTURE, "", "a skip", id="fixture"),
        pytest.param(XFAIL, "", "xfail", id="xfail"),
        pytest.param(STRICT, "", "xfail", id="strict"),
        pytest.param(IMPERATIVE, "", "xfail", id="imperative"),
        pytest.param(PLAIN, GREEN, "a plugin", id="plugin"),
        pytest.param(ONCE, HIDDEN, "a rerun", id="hidden-rerun"),
        pytest.param(ONCE, LOGGED, "a rerun", id="logged-rerun"),
    ],
)
def test_a_block_made_a_success_fails_the_session(
    dropped: pytest.Pytester, suite: str, conftest: str, how: str
) -> None:
    (dropped.path / "test_suite.py").write_text(suite)
    (dropped.path / "conftest.py").write_text(conftest)
    result = dropped.runpytest_inprocess("--modellab-json=report.json")
    failed = {"errors": 1} if suite == FIXTURE else {"failed": 1}
    outcomes = result.parseoutcomes()
    wanted = {"passed": 1} if conftest == GREEN else failed
    assert wanted.items() <= outcomes.items()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "note: test_suite.py::test_overall*plain*: plain on words blocks (all samples 1.00 -> "
            f"0.*), and {how} made that a success; a verdict that must fail its test fails the "
            "session",
            "BLOCK: 1 of 1 comparison: plain (all samples).",
        ]
    )
    report = json.loads((dropped.path / "report.json").read_text())
    assert report["verdict"] == "block"
    assert sum(f"{how} made that a success" in note for note in report["notes"]) == 1


TIMES = """
import pytest
pytestmark = pytest.mark.variants("rounded")
tries = []
def test_latency(candidate, gate):
    tries.append(1)
    if len(tries) == 1:
        gate.no_slowdown(candidate, limit=0.01)
"""

PERFORMANCE = """
[performance]
requests = 2
rounds = 5
concurrency = 1
max_tokens = 2
"""

FASTER = """
    else:
        gate.no_slowdown(candidate, limit=100)
"""

SLOW_AND_CAUGHT = """
    else:
        try:
            gate.no_slowdown(candidate, limit=0.02)
        except AssertionError:
            pass
"""


@pytest.fixture
def timed(project: pytest.Pytester) -> pytest.Pytester:
    """The project with rounds that measure its times."""
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + PERFORMANCE)
    return project


@pytest.mark.parametrize("conftest", [HIDDEN, LOGGED], ids=["hidden", "logged"])
def test_times_that_a_rerun_measured_anew_count(timed: pytest.Pytester, conftest: str) -> None:
    (timed.path / "test_suite.py").write_text(TIMES + FASTER)
    (timed.path / "conftest.py").write_text(conftest)
    result = timed.runpytest_inprocess("--modellab-json=report.json")
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*made that a success*")
    result.stdout.fnmatch_lines(
        ["PASS: the comparison of 1 variant passed; overridden: limit 100 instead of 1.05."]
    )
    report = json.loads((timed.path / "report.json").read_text())
    (latency,) = report["measured"]["latency"]
    assert (latency["verdict"], latency["ratio"]["limit"]) == ("pass", 100)


@pytest.mark.parametrize("conftest", [HIDDEN, LOGGED], ids=["hidden", "logged"])
@pytest.mark.parametrize(
    ("then", "limit", "how"),
    [
        pytest.param(SLOW_AND_CAUGHT, "0.02", "the test, which caught it,", id="caught"),
        pytest.param("", "0.01", "a rerun", id="not-measured"),
    ],
)
def test_the_last_times_that_were_measured_count(
    timed: pytest.Pytester, conftest: str, then: str, limit: str, how: str
) -> None:
    (timed.path / "test_suite.py").write_text(TIMES + then)
    (timed.path / "conftest.py").write_text(conftest)
    result = timed.runpytest_inprocess("--modellab-json=report.json")
    assert result.parseoutcomes()["failed"] == 1
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"note: test_suite.py::test_latency*: rounded on words blocks (*), and {how} made "
            "that a success; a verdict that must fail its test fails the session",
            f"BLOCK: 1 of 1 comparison: *; overridden: limit {limit} instead of 1.05.",
        ]
    )


@pytest.mark.parametrize(
    ("suite", "said", "shown"),
    [
        (XFAIL, "blocked: the mean score fell from 1.00", "failed"),
        (SKIPPED, "plain on words blocks (all samples 1.00 -> 0.", "broken"),
    ],
    ids=["xfail", "skip"],
)
def test_junit_xml_and_allure_say_what_the_exit_code_says(
    dropped: pytest.Pytester, suite: str, said: str, shown: str
) -> None:
    pytest.importorskip("allure_pytest")
    (dropped.path / "test_suite.py").write_text(suite)
    assert dropped.runpytest_inprocess("--junitxml=j.xml", "--alluredir=allure").ret == 1
    (found,) = ET.parse(dropped.path / "j.xml").getroot()  # noqa: S314 - pytest's
    assert (found.get("tests"), found.get("failures"), found.get("skipped")) == ("1", "1", "0")
    failure = found.find("testcase/failure")
    assert failure is not None
    assert failure.get("message", "").startswith(said)
    results = (json.loads(p.read_text()) for p in (dropped.path / "allure").glob("*-result.json"))
    (status,) = (one["status"] for one in results if one["name"].startswith("test_overall"))
    assert status == shown


def test_workers_send_it(dropped: pytest.Pytester) -> None:
    (dropped.path / "test_suite.py").write_text(XFAIL)
    result = dropped.runpytest_inprocess("-n2")
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["note: test_suite.py::test_overall*, and xfail made that a *"])


def test_a_test_that_fails_is_not_named(dropped: pytest.Pytester) -> None:
    (dropped.path / "test_suite.py").write_text(PLAIN)
    (dropped.path / "conftest.py").write_text(LOGGED)
    result = dropped.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*made that a success*")
    result.stdout.fnmatch_lines(["BLOCK: 1 of 1 comparison: plain (all samples)."])


def test_inconclusive_is_no_success_where_it_fails(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(XFAIL)
    project.runpytest_inprocess("--modellab-update")
    options = ("--modellab-margin=0", "--modellab-on-inconclusive=fail")
    result = project.runpytest_inprocess(*options)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["note: *: plain on words is inconclusive (all samples *"])
    assert project.runpytest_inprocess("--modellab-margin=0").ret == pytest.ExitCode.OK


def test_what_passes_may_be_marked(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(XFAIL)
    project.runpytest_inprocess("--modellab-update")
    result = project.runpytest_inprocess()
    result.assert_outcomes(xpassed=1)
    assert result.ret == pytest.ExitCode.OK
