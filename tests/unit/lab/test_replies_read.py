"""A session reads accepted replies: once, by the engine that is loaded, and without being asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.engines.interface import (
    WORDS,
    Ability,
    Done,
    GenerationRequest,
    ScoringRequest,
)
from pytest_modellab.errors import ComparisonRefused, ScoringError
from pytest_modellab.lab import survey
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.runs import Output
from pytest_modellab.store import said
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan

pytest.importorskip("torch", reason="a fingerprint has its version")
pytest.importorskip("transformers", reason="its version is part of a fingerprint")

TOML = """
[models.tiny]
source = "./tiny"

[task_sets.talk]
path = "tasks"

[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "p.jinja"

[variants.rtn]
kind = "quantized"
base = "plain"
method = "rtn"
"""


class Talker:
    """Says its own name, and finds a text the less likely the less it is what it would say."""

    def __init__(self, name: str, abilities: frozenset[Ability], asked: list[str]) -> None:
        self.name, self.abilities, self.asked = name, abilities, asked

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[-1]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        for k, request in enumerate(requests):
            self.asked.append(f"{self.name} reads {request.options[0]!r}")
            logprob = -1.0 if request.options[0] == f"I am {self.name}" else -9.0
            done({k: Output("", (logprob,), 3, 2, 0.1)})

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        for k, request in enumerate(requests):
            self.asked.append(f"{self.name} answers")
            text = "" if "0" in request.context else f"I am {self.name}"
            done({k: Output(text, (), 3, 2, 0.1)})

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 10

    def close(self) -> None:
        self.asked.append(f"{self.name} is closed")


MakeLab = Callable[..., tuple[Lab, list[str]]]


@pytest.fixture
def make(
    tmp_path: Path,
    write_samples: Callable[..., Path],
    sample: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> MakeLab:
    """Make a session over three replies, of which the first is empty; returns what is done."""
    root = tmp_path / "project"
    (root / "tiny").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (root / "tiny" / name).write_text("{}")
    (root / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    reply = {"scorer": "exact", "target": "I am plain", "choices": (), "max_tokens": 8}
    header = 'name = "talk"\nversion = "1"\n'
    write_samples([sample(k, **reply) for k in range(3)], header, root / "tasks")
    (root / FILE_NAME).write_text(TOML)

    def new(abilities: frozenset[Ability] = WORDS) -> tuple[Lab, list[str]]:
        asked: list[str] = []

        def load(plan: Plan, files: ModelFiles, cache: Path) -> Talker:
            asked.append("loaded")
            return Talker("rtn" if plan.quantization else "plain", abilities, asked)

        monkeypatch.setattr(loading, "load", load)
        return Lab(read.load(root / FILE_NAME), Settings(cache=tmp_path / "cache")), asked

    return new


OWN, OTHERS = math.exp(-1 / 10), math.exp(-9 / 10)


def likelihoods(record: Any) -> list[float | None]:
    return [result.metrics.get("likelihood") for result in record.samples]


def test_accepting_reads_what_was_said(make: MakeLab) -> None:
    lab, asked = make()
    _, baseline = lab.accept(*lab.asked("plain", "talk"))
    assert likelihoods(baseline.run) == [None, *[pytest.approx(OWN, abs=1e-6)] * 2]
    assert asked[:6] == ["loaded", *["plain answers"] * 3, *["plain reads 'I am plain'"] * 2]
    assert "plain is closed" not in asked[:6], "read by the engine that had answered"
    again, done = make()
    old, new = again.accept(*again.asked("plain", "talk"))
    assert old == new
    assert likelihoods(new.run) == likelihoods(baseline.run)
    assert not done, "the store has run and reading"


def test_a_candidate_reads_its_reference(make: MakeLab) -> None:
    lab, _ = make()
    _, baseline = lab.accept(*lab.asked("plain", "talk"))
    session, asked = make()
    rtn = session.asked("rtn", "talk")
    assert likelihoods(session.record(*rtn)) == [None] * 3
    found = session.read(*rtn, baseline.run)
    assert likelihoods(found) == [None, *[pytest.approx(OTHERS, abs=1e-6)] * 2]
    assert [result.output for result in found.samples] == ["", "I am rtn", "I am rtn"]
    assert asked == ["loaded", *["rtn answers"] * 3, *["rtn reads 'I am plain'"] * 2]
    assert session.read(*rtn, baseline.run) == found
    own = session.read(*rtn, session.record(*rtn))
    assert likelihoods(own) == [None, *[pytest.approx(math.exp(-1 / 8), abs=1e-6)] * 2]
    assert asked[6:] == ["rtn reads 'I am rtn'"] * 2, "each text once"


def test_who_cannot_read_is_accepted_all_the_same(make: MakeLab) -> None:
    lab, _ = make(frozenset({"generate"}))
    variant = lab.asked("plain", "talk")
    heard: list[str] = []
    with said.listening(heard.append):
        _, baseline = lab.accept(*variant)
    assert likelihoods(baseline.run) == [None] * 3
    (words,) = heard
    assert words == (
        "plain: accepted without the likelihood of its replies, which its engine does not tell"
    )
    with pytest.raises(ScoringError, match=r"^variant 'plain' on 'talk': sample 's1' asks for"):
        lab.read(*variant, lab.record(*variant))
    assert lab.record(*variant).samples == baseline.run.samples, "its run stands"


def test_variants_are_compared_by_the_replies_of_the_reference_alone(make: MakeLab) -> None:
    lab, _ = make()
    found = survey.survey(lab, "talk", variants=["plain", "rtn"], timed=False, metric="likelihood")
    assert found.profile("plain").success.value == pytest.approx(OWN, abs=1e-6)
    assert found.profile("rtn").success.value == pytest.approx(OTHERS, abs=1e-6)
    assert [one.n for one in found.profiles] == [2, 2], "an empty reply cannot be read"


def test_a_metric_that_no_sample_can_have_is_refused_before_anything_is_run(make: MakeLab) -> None:
    lab, asked = make()
    with pytest.raises(ComparisonRefused, match=r"^metric 'probability': 'talk' has no sample"):
        survey.survey(lab, "talk", variants=["plain"], metric="probability")
    assert not asked
