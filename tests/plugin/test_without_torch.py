"""Whole sessions in a process where torch and transformers cannot be imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_modellab import testing

CONFTEST = """
import importlib.metadata
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocked())
version = importlib.metadata.version


def without(name):
    if name in ("torch", "transformers"):
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)


importlib.metadata.version = without


from pytest_modellab.extend import Kind, Output, Plan
from pytest_modellab.variants import prompt


class Longest:
    def render(self, messages):
        return messages[-1]["content"]

    def generate(self, requests, *, budget, skip, done):
        NEEDS
        done({k: Output("Paris") for k in range(len(requests))})

    def score_options(self, requests, *, budget, skip, done):
        lengths = [tuple(float(len(option)) for option in r.options) for r in requests]
        done({k: Output("", found) for k, found in enumerate(lengths)})

    def parameter_bytes(self):
        return 0

    def close(self):
        pass


def load(plan, folder, cache):
    return Longest()


def plan(spec, base, model, root):
    return Plan(
        model=model,
        prompt=prompt.read(root / "prompt.jinja"),
        packages=(),
        engine="longest-1",
        open=load,
    )


def pytest_modellab_kinds():
    return [Kind("longest", "control", "control", plan, needs_model=False)]
"""

TOML = """
[task_sets.words]
path = "words"
margin = 0.1
floor = 0.02
[performance]
requests = 2
rounds = 5
[task_sets.search]
path = "search"
margin = 0.1
[variants.own]
kind = "longest"
[variants.other]
kind = "longest"
[variants.bm25]
kind = "lexical"
"""

SUITE = """
import sys
import pytest


@pytest.mark.task_set("words")
@pytest.mark.variants("own")
def test_overall(candidate, gate):
    gate.no_regression(candidate)


@pytest.mark.task_set("words")
@pytest.mark.variants("own")
def test_latency(candidate, gate):
    gate.no_slowdown(candidate, against="other", limit=1000)


@pytest.mark.task_set("search")
@pytest.mark.variants("bm25")
def test_search(candidate, gate):
    pytest.importorskip("bm25s")
    gate.no_regression(candidate)


def test_torch_is_not_there():
    with pytest.raises(ImportError):
        import torch
    assert "torch" not in sys.modules
"""


def write(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, needs: str = "") -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    generated = {"scorer": "exact", "target": "Paris", "choices": [], "max_tokens": 4}
    samples = testing.choice_samples(["alpha", "beta"], 22)
    samples = [s | generated if k % 2 else s for k, s in enumerate(samples)]
    testing.write_task_set(pytester.path / "words", samples)
    documents = {f"d{k}": f"word{k} common" for k in range(30)}
    queries = {f"q{k}": (f"word{k}", {f"d{k}": 1}) for k in range(30)}
    testing.write_retrieval_set(pytester.path / "search", documents, queries)
    (pytester.path / "modellab.toml").write_text(TOML)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "conftest.py").write_text(CONFTEST.replace("NEEDS", needs or "pass"))
    (pytester.path / "test_suite.py").write_text(SUITE)


def recorded(folder: Path, task_set: str, variant: str) -> set[str]:
    text = (folder / "baselines" / task_set / f"{variant}.json").read_text()
    return set(json.loads(text)["environment"])


def test_an_engine_of_ones_own_and_a_search_by_words(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester, monkeypatch)
    found = pytester.runpytest_subprocess("--modellab-update", "-p", "no:xdist")
    outcomes = found.parseoutcomes()
    assert outcomes["passed"] + outcomes.get("skipped", 0) == 4
    assert {"failed", "errors"}.isdisjoint(outcomes)
    environment = recorded(pytester.path, "words", "own")
    assert {"python", "platform", "threads", "seed"} <= environment
    assert {"torch", "transformers"}.isdisjoint(environment)
    again = pytester.runpytest_subprocess("--modellab-no-cache", "-p", "no:xdist")
    assert {"failed", "errors"}.isdisjoint(again.parseoutcomes())


def test_an_engine_that_needs_torch_says_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester, monkeypatch, needs="import torch")
    result = pytester.runpytest_subprocess("-k", "latency", "-p", "no:xdist")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "*variant 'own' on 'words': running it needs torch, which is not "
            "installed: pip install 'pytest-modellab[[]transformers]'"
        ]
    )
