"""A blocked variant is diagnosed once; its test says which part it is, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_modellab import cli, testing

pytestmark = pytest.mark.usefixtures("warmed")

CONFIG = """
[models.sound]
source = "model"
[models.damaged]
source = "damaged"
[task_sets.words]
path = "words"
margin = 0.02
capability_margin = 0.02
floor = 0.9
[variants.plain]
kind = "prompted"
model = "sound"
prompt = "prompt.jinja"
[variants.broken]
kind = "finetuned"
base = "plain"
model = "damaged"
"""

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("broken")]

def test_worse(candidate, gate):
    gate.no_regression(candidate, against="base")

def test_capability(candidate, capability, gate):
    gate.no_regression(candidate, capability=capability, against="base")
"""


@pytest.fixture(scope="session")
def damaged_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model with an MLP's last projection turned around."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(tiny_model, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(-4)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def blocked(
    tiny_model: Path, damaged_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project whose base answers everything right, accepted."""
    from pytest_modellab.baselines import file

    folder = tmp_path_factory.mktemp("blocked")
    shutil.copytree(tiny_model, folder / "model")
    shutil.copytree(damaged_model, folder / "damaged")
    (folder / "modellab.toml").write_text(CONFIG)
    (folder / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (folder / "test_suite.py").write_text(SUITE)
    samples = testing.choice_samples(["alpha", "beta"], 12)
    testing.write_task_set(folder / "words", samples)
    accept = ["accept", "plain", "--config", str(folder / "modellab.toml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELLAB_CACHE", str(folder / "cache"))
        assert cli.main(accept) == 0
        found = file.read(folder / "baselines" / "words" / "plain.json")
        assert found is not None
        said = {result.id: result.output for result in found.run.samples}
        for sample in samples:
            sample["target"] = sample["choices"].index(said[sample["id"]])
        testing.write_task_set(folder / "words", samples)
        assert cli.main([*accept, "--new-anchor"]) == 0
    return folder


@pytest.fixture
def project(
    blocked: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    shutil.copytree(blocked, pytester.path, dirs_exist_ok=True)
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("CI", "GITHUB_ACTIONS"):  # of the run that tests the package
        monkeypatch.delenv(name, raising=False)
    return pytester


SAYS = "*diagnosis: layer.1.mlp.down_proj is *"


def test_message_junit_and_json_say_it_and_the_store_has_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of another machine, too, which shares one."""
    monkeypatch.setenv("MODELLAB_CACHE", f"file://{project.path / 'team'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / "one"))
    result = project.runpytest_inprocess("--junitxml=junit.xml", "--modellab-json=report.json")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            SAYS,
            "*pictures, and what reproduces it elsewhere: modellab diagnose plain broken "
            "--task-set words --html broken.html --bundle broken.zip*",
        ]
    )
    junit = (project.path / "junit.xml").read_text(encoding="utf-8")
    properties, _, message = junit.partition("<failure ")
    named = '<property name="modellab_culprit" value="layer.1.mlp.down_proj" />'
    assert properties.count(named) == 1
    assert "diagnosis: layer.1.mlp.down_proj is scaled by -4" in message
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert report["diagnoses"]["broken"]["culprit"] == "layer.1.mlp.down_proj"
    assert report["diagnoses"]["broken"]["answers"] == {"flipped": 24, "right_again": 24}
    (stored,) = (project.path / "team").glob("*/diagnoses/*.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / "two"))
    again = project.runpytest_inprocess("-k", "test_worse", "--modellab-diagnose-budget=0")
    again.stdout.fnmatch_lines([SAYS])  # read from the store, which takes no time
    (kept,) = (project.path / "two").glob("*/diagnoses/*/diagnosis.json")
    assert stored.read_bytes() == kept.read_bytes()
    monkeypatch.chdir(project.path)
    compare = ["compare", "--variant=plain", "--variant=broken", "--no-latency", "--html=t.html"]
    assert cli.main(compare) == 0
    assert "broken: layer.1.mlp.down_proj is scaled by -4" in Path("t.html").read_text("utf-8")


def test_what_is_left_out_is_a_note(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("-k", "test_worse", "--modellab-diagnose-budget=0")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "*broken was not diagnosed: it takes about * s and 0 s of "
            "--modellab-diagnose-budget are left; modellab diagnose plain broken*"
        ]
    )
    result.stdout.no_fnmatch_line(SAYS)
    off = project.runpytest_inprocess("-k", "test_worse", "-o", "modellab_diagnose=off")
    off.assert_outcomes(failed=1, deselected=2)
    off.stdout.no_fnmatch_line("*diagnos*")
    wrong = project.runpytest_inprocess("-o", "modellab_diagnose_budget=soon")
    wrong.stderr.fnmatch_lines(
        ["*--modellab-diagnose-budget: 'soon' is not a number of seconds, from 0"]
    )


BREAKS = """
from pytest_modellab.extend import Probe

def fail(examination):
    raise {error}("no such luck")

def pytest_modellab_probes():
    return [Probe("unlucky", examine=fail)]
"""


def test_a_probe_that_fails_is_a_note(project: pytest.Pytester) -> None:
    (project.path / "conftest.py").write_text(BREAKS.format(error="ValueError"))
    result = project.runpytest_inprocess("-k", "test_worse", "--modellab-json=report.json")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines([SAYS])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    notes = report["diagnoses"]["broken"]["notes"]
    assert "the probe 'unlucky' failed: ValueError: no such luck" in notes


def test_an_interrupted_diagnosis_ends_the_session_and_keeps_nothing(
    project: pytest.Pytester,
) -> None:
    (project.path / "conftest.py").write_text(BREAKS.format(error="KeyboardInterrupt"))
    result = project.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "*a diagnosis was interrupted; nothing of it is kept*",
            "*Interrupted: interrupted while a blocked variant was diagnosed*",
            "*1 failed*",
        ]
    )
    assert not list((project.path / "cache" / "diagnoses").glob("*/diagnosis.json"))


AFTER = """
import random
import pytest
import torch

pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("broken")]

def test_before(candidate, lab, task_set):
    candidate.record(task_set)  # the run seeds as well
    test_before.answer = said(candidate.engine)
    random.seed(3), torch.manual_seed(3), torch.set_num_threads(1)

def test_worse(candidate, gate):
    gate.no_regression(candidate, against="base")

def test_after(candidate):
    assert (random.random(), float(torch.rand(1))) == (0.23796462709189137, DRAWN)
    assert torch.get_num_threads() == 1
    assert torch.is_grad_enabled()
    assert said(candidate.engine) == test_before.answer

def said(engine):
    from pytest_modellab.engines.interface import GenerationRequest
    replies = {}
    request = GenerationRequest(engine.render([{"role": "user", "content": "one"}]), 8)
    engine.generate([request], budget=64, skip=set(), done=replies.update)
    return replies[0].text
"""


def test_tests_after_it_run_as_if_it_had_not_been(project: pytest.Pytester) -> None:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(3)
        drawn = float(torch.rand(1))
    (project.path / "test_suite.py").write_text(AFTER.replace("DRAWN", repr(drawn)))
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines([SAYS])


FIXTURE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("broken")]

def test_sound(candidate, diagnosis):
    assert diagnosis(candidate).culprit is None
"""


IN_A_FIXTURE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("broken")]

@pytest.fixture
def judged(candidate, gate):
    with pytest.raises(Exception):
        gate.no_regression(candidate, against="base")

def test_caught(judged):
    pass
"""


def test_a_block_in_a_fixture_is_explained_and_no_outcome_of_pytest_gets_out(
    project: pytest.Pytester,
) -> None:
    (project.path / "test_suite.py").write_text(IN_A_FIXTURE)
    result = project.runpytest_inprocess("-p", "no:terminal", "--modellab-json=report.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert report["diagnoses"]["broken"]["culprit"] == "layer.1.mlp.down_proj"
    fails = BREAKS.replace("raise {error}", "import pytest; pytest.fail")
    (project.path / "conftest.py").write_text(fails)
    again = project.runpytest_inprocess()
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*note: broken was not diagnosed: no such luck*"])


def test_a_suite_asks_for_it(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(FIXTURE)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: assert 'layer.1.mlp.down_proj' is None*"])


def test_two_workers_diagnose_it_once(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = project.runpytest_inprocess("-n2", "--modellab-json=report.json")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines([SAYS])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert list(report["diagnoses"]) == ["broken"]
    assert len(list((project.path / "cache" / "diagnoses").glob("*/diagnosis.json"))) == 1
