"""A task set with recordings, and a kind of somebody's own that hears them: every command."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli
from pytest_modellab.tradeoff import figures

pytest.importorskip("av")
pytest.importorskip("jiwer")

CONFTEST = '''
import dataclasses
import functools

from pytest_modellab.extend import ConfigError, Kind, Output, check_options


class Ears:
    """Hears a word in each tenth of a second, and misses the last ones of long recordings."""

    abilities = frozenset({"generate"})
    media = frozenset({"audio"})

    def __init__(self, misses):
        self.misses = misses

    def render(self, messages):
        return ""

    def score_options(self, requests, *, budget, skip, done):
        assert not requests

    def generate(self, requests, *, budget, skip, done):
        for number, request in enumerate(requests):
            if number not in skip:
                words = round(10 * sum(one.seconds for one in request.media))
                heard = ["Word."] * (words - self.misses * (words > 2))
                done({number: Output(" ".join(heard), tokens_out=len(heard), seconds=0.01)})

    def parameter_bytes(self):
        return 1000

    def close(self):
        pass


def load(misses, plan, folder, cache):
    return Ears(misses)


def plan_ears(spec, base, model, root):
    check_options(spec.options, {"misses": int})
    if base is None:
        raise ConfigError("base: missing")
    misses = spec.options.get("misses", 0)
    return dataclasses.replace(
        base,
        packages=(),
        quantization={"method": "ears", "misses": misses},
        engine="ears-1",
        media=frozenset({"audio"}),
        open=functools.partial(load, misses),
    )


def pytest_modellab_kinds():
    return [Kind("ears", strategy="hearing", marker="ears", plan=plan_ears)]
'''

CONFIG = """
[models.tiny]
source = "model"
[task_sets.spoken]
path = "spoken"
margin = 0.1
[variants.text]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"
[variants.ears]
kind = "ears"
base = "text"
[variants.deaf]
kind = "ears"
base = "text"
misses = 2
[performance]
requests = 2
rounds = 5
concurrency = 2
[prices]
cpu = { usd_per_hour = 3.6 }
[scenarios.dictation]
title = "what is said, as it is said"
weights = { quality = 1, latency = 1 }
limits = { wer = 0.1, real_time_factor = 1 }
"""

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("spoken"), pytest.mark.variants("ears", "deaf")]

def test_overall(candidate, gate):
    gate.no_regression(candidate, against="ears")
"""

COUNT = 24


@pytest.fixture
def hearing(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """The project asks for what is said in recordings; returns what runs its tests."""
    folder = project.path / "spoken"
    folder.mkdir()
    samples = []
    for number in range(COUNT):
        words = number % 4 + 1
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes([number, 0]) * 800 * words)
        samples.append(
            {
                "id": f"s{number:02}",
                "input": "What is said?",
                "audio": f"{number}.wav",
                "target": {"text": "word " * words, "normalize": "basic-1"},
                "scorer": "wer",
                "capability": "short" if words < 3 else "long",
                "difficulty": "easy",
                "max_tokens": 16,
            }
        )
    (folder / "task_set.toml").write_text('name = "spoken"\nversion = "1.0.0"\n')
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)) + "\n")
    (project.path / "modellab.toml").write_text(CONFIG)
    (project.path / "test_suite.py").write_text(SUITE)
    project.makeconftest(CONFTEST)
    monkeypatch.chdir(project.path)
    return project.runpytest_inprocess


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_whole_way(
    hearing: Callable[..., pytest.RunResult], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Accept, judge, compare and plan: the rate is the corpus', and nothing reads likelihoods."""
    code, out, err = said(capsys, "accept", "ears", "deaf", "--task-set", "spoken")
    assert code == 0, err
    assert "likelihood" not in out + err
    errors = 2 * COUNT // 2  # two words of each recording of three and four
    rate = errors / (COUNT // 4 * (1 + 2 + 3 + 4))

    report = tmp_path / "report.json"
    result = hearing("-rN", "--modellab-json", str(report))
    assert_outcomes(result, inconclusive=1, failed=1)
    text = result.stdout.str()
    assert f"wer={rate:.3f}" in text
    assert "  media: 6 s of audio  real-time factor 0.040  $0.0024 per minute of audio" in text
    (run,) = (r for r in json.loads(report.read_text())["runs"] if r["variant"] == "deaf")
    assert run["metrics"] == {"wer": pytest.approx(rate)}
    assert run["probes"]["audio_seconds"] == 6.0

    files = {name: tmp_path / f"t.{name}" for name in ("json", "markdown")}
    asked = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    code, out, err = said(capsys, "compare", "--reference", "ears", *asked)
    assert code == 0, err
    told = figures.loads(files["json"].read_text())
    deaf = told.profile("deaf")
    assert deaf.latency is not None
    assert deaf.latency.first_token is None, "a whole text has none"
    assert deaf.latency.real_time_factor is not None
    assert deaf.cost is not None
    assert deaf.cost.minute_of_audio is not None
    assert deaf.probes["real_time_factor"] == deaf.latency.real_time_factor.value
    (dictation,) = (c for c in told.choices if c.scenario.name == "dictation")
    assert [miss.limit for miss in dictation.misses["deaf"]] == ["wer"]
    assert dictation.misses["ears"] == ()
    assert "  media: 6 s of audio  real-time factor " in out
    assert f"wer={rate:.3f}" in out
    assert "| variant | word error rate |" in files["markdown"].read_text()
    assert "| variant | real-time factor | cost per minute of audio |" in (
        files["markdown"].read_text()
    )

    for command in (["plan"], ["card", "deaf"]):
        code, out, err = said(capsys, *command)
        assert code == 0, (command, out, err)


def test_likelihood_is_refused_in_words(
    hearing: Callable[..., pytest.RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "accept", "ears", "--task-set", "spoken")
    Path("test_suite.py").write_text(
        SUITE.replace('"ears", "deaf"', '"ears"').replace(
            'against="ears"', 'metric="likelihood", margin=0.1'
        )
    )
    result = hearing()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*sample 's00' asks for a choice by likelihood*and 'ears' variants give none*"]
    )


def test_a_text_model_is_refused(
    hearing: Callable[..., pytest.RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "accept", "text", "--task-set", "spoken")
    assert code != 0
    assert "sample s00: it holds a recording, and this variant reads text alone" in out + err
