"""What pytest prints, or cannot, changes no exit code of the gate and keeps no report from it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest
from streams import broken

SUITE = """
def test_right():
    pass

def test_next(request):
    assert not request.config.getini("junit_suite_name") == "failing"
"""


@pytest.fixture
def suite(write_project: Callable[[], pytest.Pytester]) -> pytest.Pytester:
    """A project whose tests ask no model."""
    project = write_project()
    (project.path / "test_suite.py").write_text(SUITE)
    return project


def written(project: pytest.Pytester) -> str:
    return str(json.loads((project.path / "r.json").read_text())["headline"])


@pytest.mark.parametrize(
    ("what", "suite_name", "code"),
    [("gone", "x", 0), ("gone", "failing", 1), ("full", "x", 3), ("full", "failing", 1)],
)
@pytest.mark.parametrize("capture", ["sys", "no"])
def test_an_output_that_takes_no_more(
    suite: pytest.Pytester,
    what: str,
    suite_name: str,
    code: int,
    capture: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with broken(what) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        options = ("-v", "-o", f"junit_suite_name={suite_name}", f"--capture={capture}")
        assert suite.inline_run(*options, "--modellab-json=r.json").ret == code
        assert sys.stdout is stream
    assert "nothing was compared" in written(suite)


def test_a_console_without_a_letter(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (suite.path / "test_suite.py").write_text(
        "def test_letters(): print('5 ±1 in Łódź')", encoding="utf-8"
    )
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert suite.inline_run("-s").ret == 0
    assert b"5 +-1 in \\u0141\\xf3d\\u017a" in shown.getvalue()


def test_another_plugin_that_cannot_finish(suite: pytest.Pytester) -> None:
    (suite.path / "conftest.py").write_text(
        "def pytest_sessionfinish(): raise OSError(28, 'No space left on device', 'junit.xml')"
    )
    result = suite.runpytest_inprocess("--modellab-json=r.json")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    note = (
        "another plugin could not finish: OSError: [Errno 28] No space left on device: 'junit.xml'"
    )
    result.stdout.fnmatch_lines([f"note: {note.replace('[', '[[]')}"])
    assert json.loads((suite.path / "r.json").read_text())["notes"] == [note]


def test_a_plugin_that_ends_the_session_has_its_exit_code(suite: pytest.Pytester) -> None:
    (suite.path / "conftest.py").write_text(
        "import pytest\ndef pytest_sessionfinish(): pytest.exit('bye', 9)"
    )
    assert suite.runpytest_inprocess("--modellab-json=r.json").ret == 9
    assert "nothing was compared" in written(suite)
