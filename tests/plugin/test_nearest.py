"""A test is judged by the configuration nearest above it; a session may hold several."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import outcomes
import pytest

pytestmark = pytest.mark.usefixtures("warmed")

TEST = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain")]
def test_overall(candidate, gate):
    gate.no_regression(candidate)
"""

MORE = """
def test_again(candidate, gate):
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


@pytest.fixture
def judged(two: pytest.Pytester, tiny_model: Path, keep: Callable[..., None]) -> pytest.Pytester:
    """Both with the model, ``plain`` accepted, and two assertions in ``b``."""
    shutil.copytree(tiny_model, two.path / "model")
    for name in ("a", "b"):
        config = two.path / name / "modellab.toml"
        config.write_text(config.read_text().replace('"model"', '"../model"'))
    with (two.path / "b/test_b.py").open("a") as file:
        file.write(MORE)
    keep(two, "nearest", lambda: two.runpytest_inprocess("a", "b", "--modellab-update", "-q"))
    return two


def _folder(folder: Path, config: str) -> None:
    folder.mkdir(parents=True)
    (folder / "modellab.toml").write_text(config)
    (folder / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (folder / f"test_{folder.name}.py").write_text(TEST)


def _lower(pytester: pytest.Pytester, name: str) -> None:
    """Rewrite an accepted run as if every sample had been right."""
    path = pytester.path / name / "baselines/words/plain.json"
    from dataclasses import replace

    from pytest_modellab.baselines.file import read, write

    baseline = read(path)
    assert baseline is not None
    samples = tuple(replace(s, score=1.0, output="right") for s in baseline.run.samples)
    write(path, replace(baseline, run=replace(baseline.run, samples=samples)))


def _report(pytester: pytest.Pytester) -> Any:
    return json.loads((pytester.path / "r.json").read_text())


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize("called", [[], ["b", "a"]])
def test_each_is_judged_and_reported_by_its_own(
    judged: pytest.Pytester, workers: list[str], called: list[str]
) -> None:
    _lower(judged, "b")
    result = judged.runpytest_inprocess(
        *called, *workers, "--modellab-json=r.json", "--modellab-markdown=r.md"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    outcomes.assert_outcomes(result, passed=1, failed=2)
    report = _report(judged)
    a, b = report["configurations"]
    assert (a["configuration"], b["configuration"]) == ("a/modellab.toml", "b/modellab.toml")
    assert (report["verdict"], a["verdict"], b["verdict"]) == ("block", "pass", "block")
    assert (a["assertions"], b["assertions"]) == (1, 2), "alpha is split within each"
    assert [c["share"] for c in a["comparisons"]] == [0.05]
    assert [c["share"] for c in b["comparisons"]] == [0.025, 0.025]
    assert [c["test"] for c in b["comparisons"]] == [
        "b/test_b.py::test_again[plain]",
        "b/test_b.py::test_overall[plain]",
    ]
    result.stdout.fnmatch_lines(
        [
            "*= modellab: a/modellab.toml =*",
            "alpha 0.05 shared by 1 assertion",
            "PASS*",
            "*= modellab: b/modellab.toml =*",
            "alpha 0.05 shared by 2 assertions: 0.025 each",
            "BLOCK*",
            "*modellab accept plain --task-set words --config b/modellab.toml*",
            "*= modellab =*",
            "BLOCK: 1 of 2 configurations: b/modellab.toml",
        ]
    )
    (shown,) = {line for line in result.outlines if line.startswith("side by side: ")}
    shown = shown.removeprefix("side by side: ")
    assert shown.startswith("modellab diff plain --task-set words --sample=")
    assert judged.run(*shlex.split(shown)).ret == 0
    headings = re.findall("^## .*", (judged.path / "r.md").read_text(), re.MULTILINE)
    assert headings == [
        "## Model gate: BLOCK, b/modellab.toml",
        "## Model gate: PASS, a/modellab.toml",
    ]


def test_the_same_bytes_whoever_ran_them(judged: pytest.Pytester) -> None:
    found = []
    for workers in ([], ["-n2"]):
        judged.runpytest_inprocess(*workers, "--modellab-json=r.json")
        report = _report(judged)
        for one in report["configurations"]:
            del one["measured"]
        found.append(json.dumps(report))
    assert found[0] == found[1]


def test_one_alone_is_reported_as_ever(judged: pytest.Pytester) -> None:
    result = judged.runpytest_inprocess("b", "--modellab-json=r.json")
    assert result.ret == pytest.ExitCode.OK
    assert _report(judged)["assertions"] == 2
    assert "configuration" not in _report(judged)
    result.stdout.fnmatch_lines(["*= modellab =*"])


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_one_whose_tests_are_deselected_is_no_part(
    judged: pytest.Pytester, workers: list[str]
) -> None:
    accepted = judged.path / "a/baselines/words"
    shutil.copy(accepted / "plain.json", accepted / "rounded.json")  # which no test asks for
    result = judged.runpytest_inprocess("-k", "test_again", *workers, "--modellab-json=r.json")
    assert result.ret == pytest.ExitCode.OK
    report = _report(judged)
    assert (report["verdict"], report["assertions"]) == ("pass", 1), "as if there were no other"
    assert "not judged" not in result.stdout.str()


def test_what_one_no_longer_judges_is_said_of_it(judged: pytest.Pytester) -> None:
    (judged.path / "b/test_b.py").write_text("def test_other(lab): pass")
    judged.runpytest_inprocess("--modellab-json=r.json")
    a, b = _report(judged)["configurations"]
    assert b["notes"] == ["not judged: plain on words, accepted before"]
    assert not any("plain" in note for note in a["notes"])


def test_a_model_is_loaded_once_for_each(judged: pytest.Pytester) -> None:
    (judged.path / "a/test_a.py").write_text(TEST + MORE)
    result = judged.runpytest_inprocess("--collect-only")
    result.stdout.fnmatch_lines(
        [
            "modellab *: */a/modellab.toml, * variants, * task sets",
            "modellab: also b/modellab.toml, * variants, * task sets",
        ]
    )
    result = judged.runpytest_inprocess("--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == [
        "a/test_a.py::test_overall[plain]",
        "a/test_a.py::test_again[plain]",
        "b/test_b.py::test_overall[plain]",
        "b/test_b.py::test_again[plain]",
    ]


def test_a_test_has_the_lab_of_its_own(judged: pytest.Pytester) -> None:
    for name in ("a", "b"):
        (judged.path / name / f"test_{name}.py").write_text(
            f"""
def test_own(lab):
    assert lab.config.root.name == {name!r}
"""
        )
    assert judged.runpytest_inprocess().ret == pytest.ExitCode.OK


def test_one_asked_for_while_a_test_runs_is_refused(judged: pytest.Pytester) -> None:
    (judged.path / "b/test_b.py").write_text(
        """
import pytest
@pytest.fixture
def task_set(request):
    return request.getfixturevalue("lab").task_set("words")
def test_late(request):
    request.getfixturevalue("gate")
"""
    )
    result = judged.runpytest_inprocess("a", "b")
    result.stdout.fnmatch_lines(
        [
            "*b/test_b.py::test_late: asks for the gate while it runs, so it has the lab of "
            "another configuration than b/modellab.toml; name lab among the test's arguments*"
        ]
    )


def test_conftest_files_extend_their_own(judged: pytest.Pytester) -> None:
    (judged.path / "b/conftest.py").write_text(
        """
from pytest_modellab.extend import Kind
def pytest_modellab_kinds():
    from pytest_modellab.variants import KINDS
    import dataclasses
    return [dataclasses.replace(KINDS["prompted"], name="ours", marker="ours")]
"""
    )
    for name in ("a", "b"):
        path = judged.path / name / "modellab.toml"
        path.write_text(path.read_text().replace('kind = "prompted"', 'kind = "ours"', 1))
    result = judged.runpytest_inprocess("--collect-only", "-q", "a", "b")
    result.stdout.fnmatch_lines(["b/test_b.py::test_overall[[]plain[]]"])
    result.stdout.fnmatch_lines(["*unknown kind 'ours'*"])
    assert "a/test_a.py::test_overall[plain]" not in result.outlines


def test_one_that_is_chosen_judges_all(two: pytest.Pytester) -> None:
    result = two.runpytest_inprocess("--collect-only", "-q", "--modellab-config=b/modellab.toml")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["a/test_a.py::test_overall*", "b/test_b.py::test_overall*"])
    assert "also" not in result.stdout.str()


def test_a_nested_one_is_nearer(two: pytest.Pytester) -> None:
    config = (two.path / "a/modellab.toml").read_text().replace("../words", "../../words")
    _folder(two.path / "a/more", config)
    result = two.runpytest_inprocess("--collect-only", "a")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["modellab: also a/more/modellab.toml, *"])


def test_one_that_is_broken_stops_its_own_tests(judged: pytest.Pytester) -> None:
    (judged.path / "b/modellab.toml").write_text("[variants.plain]\nknd = 'prompted'\n")
    result = judged.runpytest_inprocess("a", "b")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*b/modellab.toml: variants.plain.knd: unknown key; did you mean 'kind'?"]
    )
    result = judged.runpytest_inprocess("a", "b", "--continue-on-collection-errors")
    outcomes.assert_outcomes(result, passed=1, errors=1)


def test_tests_with_none_above_have_that_of_suites(two: pytest.Pytester) -> None:
    config = (two.path / "a/modellab.toml").read_text()
    _folder(two.path / "suites", config)
    _folder(two.path / "c", config)
    (two.path / "c/modellab.toml").unlink()
    assert two.runpytest_inprocess("--collect-only", "c", "suites").ret == 0
    result = two.runpytest_inprocess("--collect-only", "a", "c")
    result.stdout.fnmatch_lines(["modellab: also suites/modellab.toml, *"])


def test_other_tests_may_lie_anywhere(two: pytest.Pytester) -> None:
    (two.path / "b/test_b.py").write_text("def test_plain(): pass")
    result = two.runpytest_inprocess("--collect-only", "-q", "a", "b")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["b/test_b.py::test_plain"])


def test_two_that_would_accept_into_one_file_are_refused(two: pytest.Pytester) -> None:
    for name in ("a", "b"):
        path = two.path / name / "modellab.toml"
        lines = path.read_text().splitlines()
        kept = [one for one in lines if not one.startswith("baselines")]
        path.write_text("\n".join(['baselines = "../accepted"', *kept]))
    result = two.runpytest_inprocess("a", "b")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: b/modellab.toml and a/modellab.toml both keep the accepted runs of plain, "
            "rounded, unloadable on words in *accepted: give one of them a folder of its own, "
            "baselines = ..."
        ]
    )
    assert two.runpytest_inprocess("--collect-only", "a").ret == pytest.ExitCode.OK


def test_one_that_lies_too_deep_says_what_to_call(
    two: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_modellab.config import find

    monkeypatch.setattr(find, "MOST_FOLDERS", 0)
    result = two.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "a/test_a.py::test_overall: a/modellab.toml lies too deep below what pytest was called "
            "with; name its folder: pytest a"
        ]
    )


def test_a_broken_one_stops_no_test_that_does_not_ask_for_it(judged: pytest.Pytester) -> None:
    (judged.path / "b/modellab.toml").write_text("broken")
    (judged.path / "b/test_b.py").write_text("def test_plain(): pass")
    outcomes.assert_outcomes(judged.runpytest_inprocess("a", "b"), passed=2)


def test_allure_names_it_as_a_parameter(judged: pytest.Pytester) -> None:
    pytest.importorskip("allure")
    judged.runpytest_inprocess("--alluredir=results")
    found = [json.loads(path.read_text()) for path in judged.path.glob("results/*-result.json")]
    named = {one["value"] for test in found for one in test.get("parameters", ())}
    assert named == {"'plain'", "'words'", "b/modellab.toml"}
    verdicts = {one["name"] for one in found if one["fullName"].startswith("modellab.verdict#")}
    assert verdicts == {
        "a/modellab.toml: PASS: the comparison of 1 variant passed.",
        "b/modellab.toml: PASS: all 2 comparisons of 1 variant passed.",
    }
