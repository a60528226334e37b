"""``gate.no_slowdown`` inside pytest, with limits that no clock can miss."""

from __future__ import annotations

import json

import pytest
from outcomes import assert_outcomes

pytestmark = pytest.mark.usefixtures("warmed")

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("rounded")]

def test_latency(candidate, gate):
    gate.no_slowdown(candidate, limit={limit})
"""

PERFORMANCE = """
[performance]
requests = 2
rounds = {rounds}
concurrency = 1
max_tokens = 2
"""


def write(project: pytest.Pytester, limit: str, rounds: int = 5) -> None:
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + PERFORMANCE.format(rounds=rounds))
    (project.path / "test_suite.py").write_text(SUITE.format(limit=limit))


def test_slower_than_allowed_is_blocked(project: pytest.Pytester) -> None:
    write(project, "0.01")
    result = project.runpytest_inprocess("--modellab-json", "out.json", "--junitxml", "out.xml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*blocked: latency is * times the reference's (5 rounds; *",
            "*rounds  reference s  candidate s  ratio *bound *limit *p  verdict*",
            "*rounded is slower: x* of plain's time, x0.01 is allowed; if that is wanted, raise*",
        ]
    )
    report = json.loads((project.path / "out.json").read_text())
    assert report["comparisons"] == []  # it is a measurement, and may differ in the next run
    (latency,) = report["measured"]["latency"]
    assert latency["verdict"] == "block"
    assert latency["ratio"]["limit"] == 0.01
    assert "no_slowdown" in (project.path / "out.xml").read_text()


def test_when_the_time_is_up_the_rounds_so_far_are_judged(project: pytest.Pytester) -> None:
    write(project, "100", rounds=100_000)
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + "seconds = 2\n")
    result = project.runpytest_inprocess("--modellab-json", "out.json")
    result.assert_outcomes(passed=1)
    (latency,) = json.loads((project.path / "out.json").read_text())["measured"]["latency"]
    made = latency["ratio"]["n"]
    assert 1 <= made < 100_000
    assert latency["notes"] == [
        f"{made} of 100000 rounds were timed, then the time was up: performance.seconds in "
        "modellab.toml gives more, fewer requests or max_tokens take less"
    ]
    result.stdout.fnmatch_lines(
        [f"note: latency of rounded on words: {made} of 100000 rounds were timed, then the time *"]
    )


def test_within_the_limit_passes(project: pytest.Pytester) -> None:
    write(project, "100")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["PASS: the comparison of 1 variant passed; overridden: limit 100 instead of 1.05."]
    )


@pytest.mark.parametrize(
    "mode",
    [(), ("--modellab-sequential",), ("--modellab-churn",), ("--alluredir", "allure")],
)
def test_latency_alone_runs_no_task_set(project: pytest.Pytester, mode: tuple[str, ...]) -> None:
    if "--alluredir" in mode:
        pytest.importorskip("allure_pytest")
    write(project, "100")
    result = project.runpytest_inprocess(
        "--modellab-json", "out.json", "--modellab-markdown", "out.md", *mode
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["[[]Quantized] rounded  latency x*, allowed x100.00 (against plain)  -> PASS"]
    )
    assert list(project.path.glob("cache/runs/*/*")) == []
    report = json.loads((project.path / "out.json").read_text())
    assert report["runs"] == report["measured"]["runs"] == []
    assert "| rounded (quantized) | – | – | pass, x" in (project.path / "out.md").read_text()


def test_latency_alone_shows_the_run_of_the_store(project: pytest.Pytester) -> None:
    accepted = project.runpytest_inprocess("--modellab-update", "-k", "overall and rounded")
    accepted.assert_outcomes(passed=1, deselected=7)
    write(project, "100")
    result = project.runpytest_inprocess("--modellab-json", "out.json")
    result.assert_outcomes(passed=1)
    (run,) = json.loads((project.path / "out.json").read_text())["measured"]["runs"]
    assert (run["variant"], run["cached"]) == ("rounded", True)


def test_too_few_rounds_are_inconclusive(project: pytest.Pytester) -> None:
    write(project, "100", rounds=2)
    result = project.runpytest_inprocess("--modellab-on-inconclusive=fail")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*undecided: latency is *5 rounds*"])


def test_beside_other_workers_nothing_is_decided(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    write(project, "0.01")
    result = project.runpytest_inprocess("-n", "2")
    assert_outcomes(result, inconclusive=1)
    result.stdout.fnmatch_lines(
        ["*latency x*, allowed x0.01: other xdist workers shared the machine: judge latency with*"]
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", "*'rounded' against plain: *limit*"),
        ("1.1, against='rounded'", "*'rounded' cannot be slower than itself; name another*"),
        ("1.1, against='plian'", "*unknown variant 'plian'*"),
    ],
)
def test_what_is_wrong_is_said(project: pytest.Pytester, limit: str, message: str) -> None:
    write(project, limit)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
