"""A blocked variant is diagnosed once; its test says which part it is, and nothing else changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_modellab import testing

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
    from pytest_modellab import cli
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


def test_the_message_ends_with_the_part(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--junitxml=junit.xml")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            SAYS,
            "*more, and what reproduces it elsewhere: modellab diagnose plain broken "
            "--task-set words --bundle broken.zip*",
        ]
    )
