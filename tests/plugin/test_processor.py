"""A session warns of what has no fast kernel on its processor, once and before it runs."""

from __future__ import annotations

import platform

import pytest

LINE = (
    "modellab: halved: bfloat16 has no fast kernel on this processor, which has neither AVX-512 "
    "BF16 nor AMX: its products take 2 to 4 times as long as float32's; "
    'dtype = "float32" is faster here'
)

HALVED = """
[variants.halved]
kind = "prompted"
base = "plain"
prompt = "prompt.jinja"
dtype = "bfloat16"
"""

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain", "halved")]

def test_floor(candidate, gate):
    gate.worst_bucket(candidate)

def test_twice(candidate, gate):
    gate.worst_bucket(candidate, floor=0.01)
"""


@pytest.fixture
def haswell(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.mark.usefixtures("haswell")
def test_a_slow_variant_is_named_before_it_runs(
    project: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + HALVED)
    (project.path / "test_suite.py").write_text(SUITE)
    report = project.path / "report.md"
    project.runpytest_inprocess("-q", "--modellab-markdown", str(report)).assert_outcomes(passed=4)
    assert capfd.readouterr().err.count(LINE) == 1
    assert LINE.removeprefix("modellab: ") in report.read_text()
    project.runpytest_inprocess("-q").assert_outcomes(passed=4)
    assert LINE not in capfd.readouterr().err, "it is in the store"
