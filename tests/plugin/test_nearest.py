"""A test is judged by the configuration nearest above it, or refused: a session has one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TEST = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain")]
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""


@pytest.fixture
def two(write_project: Callable[[], pytest.Pytester]) -> pytest.Pytester:
    """Folders ``a`` and ``b``, each with a configuration and a test; none has a model."""
    pytester = write_project()
    (pytester.path / "test_suite.py").unlink()
    config = (pytester.path / "modellab.toml").read_text()
    (pytester.path / "modellab.toml").unlink()
    for name in ("a", "b"):
        _folder(pytester.path / name, config.replace('"words"', '"../words"'))
    return pytester


def _folder(folder: Path, config: str) -> None:
    folder.mkdir(parents=True)
    (folder / "modellab.toml").write_text(config)
    (folder / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (folder / f"test_{folder.name}.py").write_text(TEST)


@pytest.mark.parametrize(
    ("workers", "code"),
    [([], pytest.ExitCode.INTERRUPTED), (["-n2"], pytest.ExitCode.TESTS_FAILED)],
)
def test_both_in_one_session_are_refused_with_both_named(
    two: pytest.Pytester, workers: list[str], code: pytest.ExitCode
) -> None:
    result = two.runpytest_subprocess("a", "b", *workers)
    assert result.ret == code, "xdist runs the tests that were collected"
    result.stdout.fnmatch_lines(
        [
            "*b/test_b.py: its configuration is b/modellab.toml, but this session judges by "
            "a/modellab.toml, and a session has one; run them apart: pytest b, and the others "
            "without it (--ignore=b); or choose one for all: --modellab-config PATH"
        ]
    )
    assert "a/test_a.py: its" not in result.stdout.str()
    assert "b/test_b.py::" not in result.stdout.str(), "none of them is run"


@pytest.mark.parametrize("called", [["a"], ["b"], ["b/test_b.py"]])
def test_what_the_message_says_is_collected(two: pytest.Pytester, called: list[str]) -> None:
    result = two.runpytest_inprocess("--collect-only", "-q", *called)
    assert result.ret == pytest.ExitCode.OK
    name = called[0][:1]
    result.stdout.fnmatch_lines([f"{name}/test_{name}.py::test_overall[[]plain[]]"])


def test_none_beside_what_pytest_was_called_with(two: pytest.Pytester) -> None:
    result = two.runpytest_inprocess()
    result.stdout.fnmatch_lines(
        [
            f"{name}/test_{name}.py: its configuration is {name}/modellab.toml, but none lies in "
            f"or above what pytest was called with; run them: pytest {name}; or choose one for "
            "all: --modellab-config PATH"
            for name in ("a", "b")
        ]
    )


def test_one_that_is_chosen_judges_all(two: pytest.Pytester) -> None:
    result = two.runpytest_inprocess("--collect-only", "-q", "--modellab-config=b/modellab.toml")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["a/test_a.py::test_overall*", "b/test_b.py::test_overall*"])


def test_a_nested_one_is_nearer(two: pytest.Pytester) -> None:
    config = (two.path / "a/modellab.toml").read_text().replace("../words", "../../words")
    _folder(two.path / "a/more", config)
    result = two.runpytest_inprocess("--collect-only", "a")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["a/more/test_more.py: its configuration is a/more/modellab.toml, but * pytest a/more, *"]
    )
    assert two.runpytest_inprocess("--collect-only", "a", "--ignore=a/more").ret == 0


def test_tests_with_none_above_have_that_of_suites(two: pytest.Pytester) -> None:
    config = (two.path / "a/modellab.toml").read_text()
    _folder(two.path / "suites", config)
    _folder(two.path / "c", config)
    (two.path / "c/modellab.toml").unlink()
    assert two.runpytest_inprocess("--collect-only", "c", "suites").ret == 0
    result = two.runpytest_inprocess("--collect-only", "a", "c")
    result.stdout.fnmatch_lines(
        ["c/test_c.py: its configuration is suites/modellab.toml, * pytest c/test_c.py, *"]
    )


def test_other_tests_may_lie_anywhere(two: pytest.Pytester) -> None:
    (two.path / "b/test_b.py").write_text("def test_plain(): pass")
    result = two.runpytest_inprocess("--collect-only", "-q", "a", "b")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["b/test_b.py::test_plain"])
