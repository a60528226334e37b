"""A small model that looks at images, from its folder to the verdict and the part to blame."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import sight

from pytest_modellab import cli, testing
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.vision import image_text
from pytest_modellab.records.media import PLACE
from pytest_modellab.records.runs import Output

CONFIG = """
[models.sight]
source = "./sight"
[task_sets.look]
path = "look"
margin = 0.05
[variants.sight]
kind = "multimodal"
model = "sight"
prompt = "prompt.jinja"
[variants.another_mean]
kind = "multimodal"
base = "sight"
processor = { image_mean = [0.0, 0.0, 0.0], image_std = [0.1, 0.1, 0.1] }
[variants.vision]
kind = "quantized"
base = "sight"
method = "rtn"
bits = 8
parts = ["vision"]
"""

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("look"), pytest.mark.variants(base="sight")]

def test_overall(candidate, gate):
    gate.no_regression(candidate, against="base")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Samples of which the base says what is right."""
    for library in ("torch", "transformers", "PIL"):
        pytest.importorskip(library, reason="a small model looks at small pictures")
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("CI", "GITHUB_ACTIONS"):  # of the run that tests the package
        monkeypatch.delenv(name, raising=False)
    folder = sight.write(pytester.path / "sight")
    samples = [{**one, "image": f"{k}.png"} for k, one in enumerate(_samples())]
    testing.write_task_set(pytester.path / "look", samples)
    drawn = [sight.picture(pytester.path / "look", k) for k in range(len(samples))]
    engine = image_text.load(folder)
    asked = [
        ScoringRequest(
            engine.render([{"role": "user", "content": PLACE + one["input"]}]),
            tuple(one["choices"]),
            media=(picture,),
        )
        for one, picture in zip(samples, drawn, strict=True)
    ]
    found: dict[int, Output] = {}
    engine.score_options(asked, budget=512, skip=set(), done=found.update)
    for k, (one, picture) in enumerate(zip(samples, drawn, strict=True)):
        shutil.move(picture.path, pytester.path / "look" / one["image"])
        values = found[k].option_logprobs
        one["target"] = max(range(len(values)), key=values.__getitem__)  # all of four letters
    testing.write_task_set(pytester.path / "look", samples)
    (pytester.path / "modellab.toml").write_text(CONFIG)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "test_suite.py").write_text(SUITE)
    return pytester


def _samples() -> list[dict[str, Any]]:
    return testing.choice_samples(["alpha", "beta"], 10)


def test_another_mean_is_blocked_and_named(
    project: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["accept", "sight", "--task-set", "look"]) == 0
    assert "sight on look: success 1.000" in capsys.readouterr().out
    result = project.runpytest("-q", "-m", "multimodal")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*preprocessing is not that of *image_mean: [[]0, 0, 0] here, "
            "[[]0.5, 0.5, 0.5] there; image_std: [[]0.1, 0.1, 0.1] here, [[]0.5, 0.5, 0.5] there",
            "*blocked: the mean score fell from 1.00 to *",
            "*the preprocessing accounts for * lost answers*",
        ]
    )
    (project.path / "sight" / "processor_config.json").unlink()
    result = project.runpytest("-q", "-m", "multimodal")
    result.stdout.fnmatch_lines(
        ["*/sight: transformers cannot load its processor: Can't load image processor for *"]
    )
    assert result.ret == 1
