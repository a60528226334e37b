"""What was accepted or declared, and no test asked for, is said; what was left out is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

PLAIN = """
import pytest
pytestmark = pytest.mark.variants("plain")
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

FLOORS = """
import pytest
pytestmark = pytest.mark.variants("plain", "rounded")
def test_floor(candidate, gate):
    gate.worst_bucket(candidate)
"""

NEVER = "note: not judged: unloadable, declared in modellab.toml"
ROUNDED = "note: not judged: rounded on words, accepted before"


@pytest.fixture
def accepted(project: pytest.Pytester, update: Callable[..., None]) -> pytest.Pytester:
    """The project with both variants accepted."""
    update("-k", "overall")
    return project


def said(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("note: not ")]


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_an_accepted_variant_without_a_test_is_said(
    accepted: pytest.Pytester, workers: list[str]
) -> None:
    (accepted.path / "test_suite.py").write_text(PLAIN)
    result = accepted.runpytest_inprocess(*workers, "--modellab-json=report.json")
    assert result.ret == pytest.ExitCode.OK
    assert said(result) == [ROUNDED, NEVER]
    report = json.loads((accepted.path / "report.json").read_text())
    assert report["notes"] == [text.removeprefix("note: ") for text in (ROUNDED, NEVER)]


def test_a_whole_session_has_nothing_to_say_of_it(accepted: pytest.Pytester) -> None:
    assert said(accepted.runpytest_inprocess()) == [NEVER]
    assert said(accepted.runpytest_inprocess(str(accepted.path))) == [NEVER]


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize("chosen", [["-m", "prompted"], ["-k", "overall and plain"]])
def test_what_was_deselected_is_not_said(
    accepted: pytest.Pytester, workers: list[str], chosen: list[str]
) -> None:
    assert said(accepted.runpytest_inprocess(*workers, *chosen)) == []


def test_a_selection_still_says_what_no_test_asks_for(accepted: pytest.Pytester) -> None:
    both = PLAIN.replace('"plain"', '"plain", "unloadable"')
    (accepted.path / "test_suite.py").write_text(both)
    assert said(accepted.runpytest_inprocess("-k", "plain")) == [ROUNDED]


@pytest.mark.parametrize(
    "chosen",
    [
        ["test_suite.py"],
        ["test_suite.py::test_overall"],
        ["part"],
        ["--ignore=other"],
        ["-x", "--modellab-margin=0", "--modellab-on-inconclusive=fail"],
    ],
    ids=" ".join,
)
def test_of_some_files_or_a_cut_session_nothing_is_said(
    accepted: pytest.Pytester, chosen: list[str]
) -> None:
    (accepted.path / "part").mkdir()
    for name in ("test_suite.py", "part/test_part.py"):
        (accepted.path / name).write_text(PLAIN)
    assert said(accepted.runpytest_inprocess(*chosen)) == []


def test_last_failed_collects_some_files_only(accepted: pytest.Pytester) -> None:
    (accepted.path / "test_suite.py").write_text(PLAIN)
    assert said(accepted.runpytest_inprocess("--lf")) == []


def test_testpaths_are_the_whole(accepted: pytest.Pytester) -> None:
    (accepted.path / "part").mkdir()
    (accepted.path / "part" / "test_part.py").write_text(PLAIN)
    accepted.makeini("[pytest]\ntestpaths = part\n")
    assert said(accepted.runpytest_inprocess()) == [ROUNDED, NEVER]


UNIT = """
def test_plain():
    pass
def test_other():
    pass
"""


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize("chosen", [[], ["-k", "test_plain"]], ids=" ".join)
@pytest.mark.parametrize(
    "ini", ["testpaths = tests", "modellab_config = lab/modellab.toml"], ids=str.split
)
def test_other_tests_than_the_gates_say_nothing(
    accepted: pytest.Pytester, ini: str, chosen: list[str], workers: list[str]
) -> None:
    (accepted.path / "test_suite.py").unlink()
    for folder in ("suites", "tests", "lab"):
        (accepted.path / folder).mkdir()
    (accepted.path / "tests" / "test_unit.py").write_text(UNIT)
    if "testpaths" in ini:
        (accepted.path / "suites" / "test_suite.py").write_text(PLAIN)
    else:
        for name in ("modellab.toml", "model", "words", "prompt.jinja", "baselines"):
            (accepted.path / name).rename(accepted.path / "lab" / name)
    accepted.makeini(f"[pytest]\n{ini}\n")
    result = accepted.runpytest_inprocess(*workers, *chosen)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*modellab =*")
    result.stdout.no_fnmatch_line("*not judged*")
    result.stdout.no_fnmatch_line("*INCONCLUSIVE*")


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_test_paths_of_gate_tests_that_all_skip_still_say_it(
    accepted: pytest.Pytester, workers: list[str]
) -> None:
    (accepted.path / "part").mkdir()
    skipped = PLAIN.replace("def test", "@pytest.mark.skip\ndef test")
    (accepted.path / "part" / "test_part.py").write_text(skipped)
    accepted.makeini("[pytest]\ntestpaths = part\n")
    result = accepted.runpytest_inprocess(*workers)
    assert said(result) == ["note: not judged: plain, rounded on words, accepted before"]


IMPORTED = """
import sys
def pytest_unconfigure():
    print("imported:", *sorted({"numpy", "scipy", "torch"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "chosen",
    [["test_unit.py"], ["-o", "testpaths=unit"], ["-k", "test_plain"]],
    ids=["file", "testpaths", "deselected"],
)
def test_a_session_without_a_comparison_imports_nothing_heavy(
    accepted: pytest.Pytester, chosen: list[str]
) -> None:
    (accepted.path / "unit").mkdir()
    for name in ("test_unit.py", "unit/test_more.py"):
        (accepted.path / name).write_text(UNIT)
    (accepted.path / "conftest.py").write_text(IMPORTED)
    result = accepted.runpytest_subprocess(*chosen)
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines[-1].strip() == "imported:"


def test_a_skipped_test_judges_nothing(accepted: pytest.Pytester) -> None:
    path = Path(accepted.path / "test_suite.py")
    path.write_text(
        PLAIN + "@pytest.mark.skip\n@pytest.mark.variants('rounded')\n" + "def test_b(c"
        "andidate, gate):\n    gate.no_regression(candidate)\n"
    )
    assert said(accepted.runpytest_inprocess()) == [ROUNDED, NEVER]


def test_a_baseline_that_nothing_is_compared_with_is_said(accepted: pytest.Pytester) -> None:
    (accepted.path / "test_suite.py").write_text(FLOORS)
    assert said(accepted.runpytest_inprocess()) == [
        "note: not compared with the accepted baseline: plain, rounded on words",
        NEVER,
    ]


def test_a_reference_is_not_called_unjudged(accepted: pytest.Pytester) -> None:
    (accepted.path / "test_suite.py").write_text(
        PLAIN.replace('"plain"', '"rounded"').replace(
            "(candidate)\n",
            "(candidate)\n"
            "def test_cost(candidate, gate):\n"
            "    gate.no_regression(candidate, against='base')\n",
        )
    )
    assert said(accepted.runpytest_inprocess()) == [NEVER]


def test_a_session_that_judges_nothing_says_what_was_accepted(accepted: pytest.Pytester) -> None:
    (accepted.path / "test_suite.py").write_text("def test_other():\n    pass\n")
    assert said(accepted.runpytest_inprocess()) == [
        "note: not judged: plain, rounded on words, accepted before"
    ]


def test_where_collection_fails_the_error_stands_alone(accepted: pytest.Pytester) -> None:
    suite = accepted.path / "test_suite.py"
    suite.write_text(f"import no_such_module\n{suite.read_text()}")
    result = accepted.runpytest_inprocess("--modellab-json=report.json")
    result.assert_outcomes(errors=1)
    result.stdout.no_fnmatch_line("*INCONCLUSIVE*")
    result.stdout.no_fnmatch_line("*= modellab*")
    assert said(result) == []
    assert not json.loads((accepted.path / "report.json").read_text())["complete"]
    suite.write_text("")
    assert said(accepted.runpytest_inprocess()), "a suite without tests is told as before"
