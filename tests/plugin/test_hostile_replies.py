"""A session whose model breaks scorers: its samples fail by name, its tests get their verdicts."""

from __future__ import annotations

import json

import pytest

from pytest_modellab import testing

pytestmark = pytest.mark.usefixtures("warmed")

pytest.importorskip("jsonschema")

CONFTEST = """
from pytest_modellab.extend import Kind, Output, Plan, Scored
from pytest_modellab.variants import prompt


class Hostile:
    def render(self, messages):
        return messages[-1]["content"]

    def generate(self, requests, *, budget, skip, done):
        done({k: Output(r.context.removeprefix("say ")) for k, r in enumerate(requests)})

    def score_options(self, requests, *, budget, skip, done):
        lengths = [tuple(float(len(option)) for option in r.options) for r in requests]
        done({k: Output("", found) for k, found in enumerate(lengths)})

    def parameter_bytes(self):
        return 0

    def close(self):
        pass


class Broken:
    name, version, likelihood, ranking = "broken", 1, False, False

    def check(self, sample):
        return None

    def score_all(self, samples, outputs, metrics):
        return [Scored(float("nan"), output.text) for output in outputs]


def plan(spec, base, model, root):
    return Plan(
        model=model,
        prompt=prompt.read(root / "prompt.jinja"),
        packages=(),
        engine="hostile-1",
        open=lambda plan, folder, cache: Hostile(),
    )


def pytest_modellab_kinds():
    return [Kind("hostile", "control", "control", plan, needs_model=False)]


def pytest_modellab_scorers():
    return [Broken()]
"""

TOML = """
[task_sets.words]
path = "words"
margin = 0.1
[variants.own]
kind = "hostile"
"""

SUITE = """
import pytest

pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("own")]


def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

MULTIPLE = {"properties": {"a": {"multipleOf": 0.01}}, "required": ["a"]}

REPLIES = {
    "exact": ("json_schema", MULTIPLE, '{"a":1e400}', 1.0),
    "nan": ("json_schema", {"properties": {"a": {"maximum": 1}}}, '{"a":NaN}', 0.0),
    "deep": ("json_schema", {"$ref": "#"}, '{"a":' * 300 + "{}" + "}" * 300, 0.0),
    "endless": (
        "json_schema",
        {"$ref": "#"},
        "{}",
        "(target: the schema has more than 100 keywords inside each other for this reply)",
    ),
    "slow": (
        "regex",
        "^(a|aa)+$",
        "a" * 100 + "!",
        "(the expression '^(a|aa)+$' takes more than 2 seconds of processor time on a text of 101 "
        "characters; nested repeats such as (a+)+ do that)",
    ),
    "scorer": (
        "broken",
        "",
        "x",
        "(the scorer 'broken' failed: ValueError: gave nan, which lies outside [0, 1])",
    ),
}


def test_replies_that_break_scorers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    samples = testing.choice_samples(["alpha"], 60)
    for name, (scorer, target, reply, _) in REPLIES.items():
        samples.append(
            {
                "id": name,
                "input": f"say {reply}",
                "target": target,
                "scorer": scorer,
                "capability": "hostile",
                "difficulty": "hard",
                "max_tokens": 8,
            }
        )
    testing.write_task_set(pytester.path / "words", samples)
    (pytester.path / "modellab.toml").write_text(TOML)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "conftest.py").write_text(CONFTEST)
    (pytester.path / "test_suite.py").write_text(SUITE)
    pytester.runpytest_subprocess("--modellab-update", "-p", "no:xdist").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)
    baseline = json.loads((pytester.path / "baselines/words/own.json").read_text())
    found = {row["id"]: row for row in baseline["samples"]}
    for name, (_, _, _, expected) in REPLIES.items():
        said = expected if isinstance(expected, float) else None
        assert found[name]["score"] == said, name
        if said is None:
            assert found[name]["output"] == expected
