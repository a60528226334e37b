"""Models that share neither width nor vocabulary are compared by what they make of texts."""

from __future__ import annotations

from typing import Any

import pytest
import tiny

from pytest_modellab.observatory import diagnose, spoken
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Lines, Side
from pytest_modellab.records.tasks import Sample

torch = pytest.importorskip("torch")

TEXTS = ("the other man", "a van and the an" * 3)


def _samples() -> tuple[Sample, ...]:
    return tuple(
        Sample(str(i), text, 0, "choice", capability, "easy")
        for i, (text, capability) in enumerate(zip(TEXTS, ("words", "repeats"), strict=True))
    )


def test_likelihood_is_told_by_capability_in_bytes() -> None:
    base, candidate = (
        Subject(Side(name), model, tiny.tokenizer())
        for name, model in (("base", tiny.llama()), ("candidate", tiny.llama(3, hidden_size=16)))
    )

    found = spoken.compare(base, candidate, Probes((), TEXTS, samples=_samples()))

    def nats(model: Any, text: str) -> float:
        ids = tiny.tokenizer()(text).input_ids
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
        return float(sum(rows[i, token] for i, token in enumerate(ids[1:])))

    size = sum(map(len, TEXTS))
    ours = [nats(base.model, text) for text in TEXTS]
    assert found.base == pytest.approx(sum(ours) / size, abs=1e-5)
    assert found.candidate is not None
    assert found.picture is not None
    by_text, by_place = found.picture.panels
    assert isinstance(by_text, Lines)
    assert isinstance(by_place, Lines)
    assert by_text.x == ("words", "repeats")
    assert by_text.series[0].values == pytest.approx(
        [one / len(text) for one, text in zip(ours, TEXTS, strict=True)], abs=1e-4
    )
    shown = [one for one in by_place.series[0].values if one is not None]
    assert sum(shown) / 8 == pytest.approx(found.base, abs=1e-4)


def test_a_student_of_another_width_and_vocabulary_is_not_blamed_for_its_tokenizer() -> None:
    def smaller(content: dict[str, Any]) -> None:
        ids = content["model"]["vocab"]
        names = {**{one: i for one, i in ids.items() if i > 1 and i < 200}}
        content["model"]["vocab"] = {**names, "Ā": 0, "ā": 1}
        content["model"]["merges"] = []

    student = tiny.llama(3, vocab_size=200, hidden_size=16)
    found = diagnose(
        (tiny.llama(), tiny.tokenizer()), (student, tiny.tokenizer(smaller)), list(TEXTS)
    )

    assert (found.level, found.culprit, found.damage) == ("outputs", None, None)
    assert any("nats a byte, the candidate" in note for note in found.notes)


def test_without_texts_that_is_noted() -> None:
    side = Subject(Side("base"), tiny.llama(), tiny.tokenizer())

    assert spoken.compare(side, side, Probes(())).notes == (
        "likelihoods were not compared: there are no texts to read",
    )
