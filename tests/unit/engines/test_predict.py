"""Whole distributions of texts: the same in a row, alone, and in any batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tiny

from pytest_modellab.engines.interface import ScoringRequest, Texts, predicting
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode_texts

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(tiny.llama(0), tiny.tokenizer())


@pytest.fixture(scope="module")
def texts(engine: TransformersEngine) -> Texts:
    chats = ([{"role": "user", "content": "the other" + " then" * k}] for k in range(7))
    return encode_texts(
        engine.tokenizer,
        [
            ScoringRequest(engine.render(chat), ("another",) if k % 2 else ())
            for k, chat in enumerate(chats)
        ],
    )


def alone(engine: TransformersEngine, texts: Texts, i: int) -> Any:
    import torch

    with torch.inference_mode():
        logits = engine.model(torch.tensor([texts.ids[i]])).logits[0]
    return logits.log_softmax(-1).numpy()[texts.prefix : -1]


@pytest.mark.parametrize("budget", [1, 50, 4096])
@pytest.mark.parametrize("reach", [float("inf"), 5])
def test_rows_are_what_the_model_says_of_a_text_alone(
    engine: TransformersEngine,
    texts: Texts,
    budget: int,
    reach: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_reach", reach)
    assert predicting(engine) is engine
    found = dict(engine.predict(texts, budget=budget, skip={3}))
    assert sorted(found) == [0, 1, 2, 4, 5, 6]
    assert list(found) == sorted(found, key=lambda i: (-texts.places[i], i)), "the longest first"
    for i, rows in found.items():
        assert rows.dtype == np.float32
        assert rows == pytest.approx(alone(engine, texts, i), abs=2e-4)


@pytest.mark.parametrize("budget", [1, 50, 4096])
@pytest.mark.parametrize("reach", [float("inf"), 5])
def test_only_the_last_places_of_a_text_are_told(
    engine: TransformersEngine,
    texts: Texts,
    budget: int,
    reach: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_reach", reach)
    fewer = dataclasses.replace(texts, places=tuple(range(1, 1 + len(texts.ids))))
    for i, rows in engine.predict(fewer, budget=budget, skip=frozenset()):
        count = fewer.places[i]
        assert len(rows) == count
        assert rows == pytest.approx(alone(engine, texts, i)[-count:], abs=2e-4)


def test_the_shared_beginning_is_not_predicted(texts: Texts) -> None:
    assert len({text[: texts.prefix] for text in texts.ids}) == 1
    assert len({text[: texts.prefix + 1] for text in texts.ids}) > 1
    assert texts.places == tuple(len(text) - texts.prefix - 1 for text in texts.ids)
