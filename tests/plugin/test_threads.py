"""How threads wait is told before torch is imported, where there is a modellab.toml."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CONFTEST = """
import os, sys

def pytest_collection_finish():
    assert "torch" not in sys.modules
    print("spins:", os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("told", "expected"), [({}, "1000 None"), ({"OMP_WAIT_POLICY": "active"}, "None active")]
)
def test_threads_sleep_soon_unless_somebody_said_how(
    write_project: Callable[[], pytest.Pytester],
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, str],
    expected: str,
) -> None:
    project = write_project()
    (project.path / "conftest.py").write_text(CONFTEST)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    result = project.runpytest_subprocess("--collect-only", "-q", "-s")
    assert f"spins: {expected}" in result.stdout.lines


def test_a_project_without_models_is_left_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_one(): pass")
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    result = pytester.runpytest_subprocess("-s")
    assert "spins: None None" in "\n".join(result.stdout.lines)
