"""Of what only answers, no part is named: what comes in may be, and what is never the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_modellab.observatory import outside
from pytest_modellab.observatory.outside import Outside
from pytest_modellab.records.diagnosis import Diagnosis, Side

np = pytest.importorskip("numpy")
pytest.importorskip("torch")

TEXTS = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]


def _told(found: Outside) -> Diagnosis:
    return outside.diagnosis(Side("base"), Side("graph"), found, "they are out of reach", {})


def _encode(texts: Sequence[str]) -> Any:
    return np.array([[1.0, 0.1 * len(text)] for text in texts])


def test_vectors_of_another_length_are_the_same_direction() -> None:
    """As a search by cosine has it; a note tells it."""

    def shorter(texts: Sequence[str]) -> Any:
        rows = _encode(texts)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    found = _told(outside.vectors(_encode, shorter, TEXTS))
    assert (found.culprit, found.fault, found.level) == (None, "none", "outputs")
    assert found.headline == "nothing is damaged"
    assert "only the candidate's vectors have length one (the others 1 to 1.2)" in found.notes[0]


def test_what_grows_with_the_length_is_told_so() -> None:
    """Positions, a cache or a limit may be to blame; none is named."""

    def turned(texts: Sequence[str]) -> Any:
        return np.array([[1.0, 0.1 * len(text) + 0.02 * len(text) ** 2] for text in texts])

    found = _told(outside.vectors(_encode, turned, TEXTS))
    assert (found.culprit, found.fault) == (None, "unexplained")
    assert found.notes[0].startswith("it grows with the length: ")
    assert found.notes[0].endswith("up to 2 characters, 0.062 from 5 on")


def test_another_number_of_tokens_is_the_tokenizers() -> None:
    """Without looking into it: the same texts, counted."""
    counts = [[3] * 6, [3, 3, 3, 4, 4, 5]]
    found = _told(outside.vectors(_encode, _encode, TEXTS, counts))
    assert (found.culprit, found.fault) == ("tokenizer", "tokenizer")
    assert found.findings[0].detail == "3 of 6 texts have another number of tokens"


def test_who_does_not_repeat_himself_is_a_runtimes_fault() -> None:
    """The second answer to the same question is compared with the first."""
    state = iter(range(9))

    def drawn(texts: Sequence[str]) -> Any:
        return _encode(texts) + np.array([0.0, 0.1 * next(state)])

    found = _told(outside.vectors(_encode, drawn, TEXTS))
    assert found.culprit == "runtime"
    assert found.findings[0].detail.startswith("asked the same twice, it answers otherwise, 0.00")


def test_vectors_of_another_size_cannot_be_compared() -> None:
    """That is a note, and no damage."""
    found = _told(outside.vectors(_encode, lambda texts: _encode(texts)[:, :1], TEXTS))
    assert (found.damage, found.culprit, found.fault) == (None, None, "unexplained")
    assert found.notes[0] == "its vectors have 1 numbers, the base's 2"
