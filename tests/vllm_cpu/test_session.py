"""A session whose variants vLLM runs: opened once, taken up after a kill, judged like any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_modellab import testing

CONFIG = """
[models.tiny]
source = "tiny"
[task_sets.words]
path = "words"
margin = 0.1
capability_margin = 0.2
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"
[variants.fast]
kind = "prompted"
base = "plain"
prompt = "prompt.jinja"
engine = "vllm"
[variants.four]
kind = "lora"
base = "fast"
adapter = "four"
[variants.eight]
kind = "lora"
base = "fast"
adapter = "eight"
[variants.merged]
kind = "lora"
base = "plain"
adapter = "four"
merge = true
engine = "vllm"
"""

SUITE = """
import pytest
pytestmark = pytest.mark.task_set("words")

@pytest.mark.variants("plain", "fast", "four", "eight")
def test_floor(candidate, gate):
    gate.worst_bucket(candidate, floor=0.001)
"""

COUNTED = """
import os
from pytest_modellab.engines.language import vllm_engine, vllm_opening

load, ask = vllm_opening.load, vllm_engine.VllmEngine._ask

def noted(folder, **options):
    with open("opened", "a") as file:
        file.write(f"{folder.name}\\n")
    return load(folder, **options)

def counted(self, prompts, settings):
    if os.environ.get("KILL") and os.path.exists("asked"):
        os._exit(9)
    with open("asked", "a") as file:
        file.write(f"{len(prompts)}\\n")
    return ask(self, prompts, settings)

vllm_opening.load, vllm_engine.VllmEngine._ask = noted, counted
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, models: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    testing.write_task_set(pytester.path / "words", testing.choice_samples(["alpha", "beta"], 22))
    for folder in models.iterdir():
        (pytester.path / folder.name).symlink_to(folder)
    (pytester.path / "modellab.toml").write_text(CONFIG)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "test_suite.py").write_text(SUITE)
    (pytester.path / "conftest.py").write_text(COUNTED)
    return pytester


def asked(project: pytest.Pytester) -> list[int]:
    return [int(line) for line in (project.path / "asked").read_text().split()]


def test_base_and_adapters_are_one_engine_and_a_kill_loses_nothing(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILL", "1")
    assert project.runpytest_subprocess("-k", "fast").ret == 9
    monkeypatch.delenv("KILL")
    first = asked(project)
    (project.path / "asked").unlink()
    (project.path / "opened").unlink()
    result = project.runpytest_subprocess("-v", "--modellab-json", "report.json")
    result.assert_outcomes(passed=4)
    assert (project.path / "opened").read_text().split() == ["tiny"]
    # what was asked before the kill is not asked again: three variants, less the first batch
    each = sum(asked(project)) + sum(first)
    assert each % 3 == 0
    for name in ("fast", "four", "eight"):
        result.stdout.re_match_lines([rf".* {name} .*prefix cache \d+%"])
    text = (project.path / "report.json").read_text()
    assert text.count('"prefix_reused"') == 3
    means = {run["variant"]: run["mean"] for run in json.loads(text)["runs"]}
    assert means["fast"] == means["plain"] != means["four"]


def test_a_merged_adapter_answers_as_one_beside_the_weights(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        SUITE.replace('"plain", "fast", "four", "eight"', '"merged", "four"')
    )
    result = project.runpytest_subprocess("-v", "--modellab-json", "report.json")
    result.assert_outcomes(passed=2)
    assert len((project.path / "opened").read_text().split()) == 2
    runs = json.loads((project.path / "report.json").read_text())["runs"]
    assert runs[0]["mean"] == runs[1]["mean"]
