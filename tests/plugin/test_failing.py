"""What a failure shows of modellab's own errors, and how often."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

WRONG = "*modellab.toml: variants.plain.dtype: unknown 'bf16'; *"


@pytest.fixture
def broken(write_project: Callable[[], pytest.Pytester]) -> pytest.Pytester:
    """A project with a wrong option, which all variants share; no model is needed to see it."""
    pytester = write_project()
    path = pytester.path / "modellab.toml"
    text = path.read_text()
    path.write_text(
        text.replace('prompt = "prompt.jinja"', 'prompt = "prompt.jinja"\ndtype = "bf16"', 1)
    )
    return pytester


@pytest.mark.parametrize("style", ["auto", "long", "short", "native", "line", "no"])
def test_the_message_alone(broken: pytest.Pytester, style: str) -> None:
    result = broken.runpytest_inprocess(f"--tb={style}", "-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    text = result.stdout.str()
    assert "site-packages" not in text
    assert "Traceback" not in text
    assert "asking.py" not in text
    assert text.count("unknown 'bf16'") == {"no": 2, "line": 4}.get(style, 3)
    result.stdout.fnmatch_lines(["FAILED test_suite.py::test_overall*plain* - variant 'plain' *"])


@pytest.mark.parametrize("option", ["--modellab-traceback", "--full-trace"])
def test_the_way_through_the_code_is_shown_where_asked_for(
    broken: pytest.Pytester, option: str
) -> None:
    result = broken.runpytest_inprocess(option, "-k", "test_overall and plain")
    result.stdout.fnmatch_lines(["*asking.py:*", "*ConfigError: *unknown 'bf16'*"])


def test_an_error_that_is_not_ours_keeps_its_traceback(broken: pytest.Pytester) -> None:
    (broken.path / "test_suite.py").write_text(
        "def helper():\n    raise ValueError('theirs')\ndef test_a(lab):\n    helper()\n"
    )
    result = broken.runpytest_inprocess()
    result.stdout.fnmatch_lines([">*raise ValueError('theirs')", "test_suite.py:2: ValueError"])


def test_what_one_file_breaks_is_said_once(broken: pytest.Pytester) -> None:
    result = broken.runpytest_inprocess("--junitxml=junit.xml")
    result.stdout.fnmatch_lines(
        [
            "*FFFFFFFF*",
            f"variant 'plain' on 'words': {WRONG}",
            f"ERROR in 8 tests of plain, rounded: {WRONG}",
            "next:",
            f"  mend plain, rounded: {WRONG}",
            "*1 failed, 7 with the same error in *",
        ]
    )
    assert result.stdout.str().count("unknown 'bf16'") <= 4
    suite = ET.parse(broken.path / "junit.xml").getroot()[0]  # noqa: S314 - pytest's
    assert suite.get("failures") == "8", "whoever counts tests counts all of them"
    told = [one.get("message", "") for one in suite.iter("failure")]
    assert all("variants.plain.dtype: unknown 'bf16'" in one for one in told)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_workers_say_it_once(broken: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = broken.runpytest_subprocess("-n2")
    result.stdout.fnmatch_lines(
        [f"variant '*' on 'words': {WRONG}", "*1 failed, 7 with the same error in *"]
    )
    result.stdout.fnmatch_lines(["FAILED test_suite.py::test_* - variant '*"])
