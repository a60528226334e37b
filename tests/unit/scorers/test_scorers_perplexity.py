"""Perplexity: the score of a document, and the figures of many."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import perplexity
from pytest_modellab.scorers.interface import Scored, SetScorer


def document(text: str = "Tea for two.", **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": "d",
        "input": text,
        "target": None,
        "scorer": "perplexity",
        "capability": "text",
        "difficulty": "medium",
    }
    return Sample(**{**values, **changes})


def score(text: str, total: float, tokens: int = 3) -> Scored:
    scorer = perplexity.Perplexity()
    (found,) = scorer.score_all(
        [document(text)], [Output("", option_logprobs=(total,), tokens_out=tokens)], ()
    )
    return found


def test_the_geometric_mean_over_bytes() -> None:
    # five bytes of four characters, a quarter each: two bits a byte
    found = score("café", 5 * math.log(1 / 4))
    assert found.score == pytest.approx(0.25)
    assert found.metrics == pytest.approx(
        {"likelihood": 0.25, "bits_per_byte": 2.0, "log_likelihood": 5 * math.log(1 / 4)}
    )
    assert found.answer == "2.000 bits per byte (5 bytes, 3 tokens)"


@pytest.mark.parametrize(("total", "expected"), [(0.0, 1.0), (1e-9, 1.0), (-1e9, 0.0)])
def test_the_ends_of_the_range(total: float, expected: float) -> None:
    found = score("text", total)
    assert found.score == expected
    assert found.metrics["bits_per_byte"] >= 0


likelihoods = st.floats(-300, 0)


@given(st.text(min_size=1).filter(lambda text: text.encode(errors="replace") != b""), likelihoods)
def test_in_the_range_and_one_by_byte_perplexity(text: str, total: float) -> None:
    text = text.encode(errors="replace").decode()
    found = score(text, total)
    assert 0 <= found.score <= 1
    alone = perplexity.corpus([(text, total, 3)])
    if "byte_perplexity" in alone:
        assert found.score == pytest.approx(1 / alone["byte_perplexity"], rel=1e-9)
    assert found.metrics["bits_per_byte"] == pytest.approx(alone["bits_per_byte"])


def test_a_corpus_is_weighed_by_length_as_lm_evaluation_harness_does() -> None:
    # lm_eval.api.metrics.weighted_perplexity and bits_per_byte of 0.4.13 on
    # [(-10.0, 2), (-3.0, 4)] words and [(-10.0, 8), (-3.0, 10)] bytes
    found = perplexity.corpus([("two  wds", -10.0, 4), (" by four  ", -3.0, 5)])
    assert [perplexity.words(text) for text in ("two  wds", " by four  ", "")] == [2, 4, 1]
    assert found == pytest.approx(
        {
            "word_perplexity": math.exp(13 / 6),
            "byte_perplexity": math.exp(13 / 18),
            "token_perplexity": math.exp(13 / 9),
            "bits_per_byte": 13 / 18 / math.log(2),
        }
    )
    assert perplexity.corpus([]) == {}
    assert set(perplexity.corpus([("a", -1e6, 1)])) == {"bits_per_byte"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": " "}, "input: empty; the scorer 'perplexity' needs a text"),
        (
            {"choices": ("a", "b")},
            "choices: the scorer 'perplexity' reads the input and takes none",
        ),
        (
            {"max_tokens": 4},
            "max_tokens: the scorer 'perplexity' generates nothing; leave it out",
        ),
        (
            {"target": "x"},
            "target: the scorer 'perplexity' compares with nothing; it takes {} or "
            '{"window": tokens, "context": tokens}, not \'x\'',
        ),
        (
            {"target": {"windows": 4}},
            "target: windows: unknown key; did you mean 'window'? Known: context, window",
        ),
        ({"target": {"window": 0}}, "target: window: 0 must be at least 1"),
        (
            {"target": {"window": 2, "context": 3}},
            "target: context: 3 is more than the window, 2",
        ),
        ({"target": {}}, None),
        ({"target": {"window": 512, "context": 256}}, None),
        ({}, None),
    ],
)
def test_what_is_wrong_with_a_document(changes: dict[str, Any], said: str | None) -> None:
    assert scorers.check(document(**changes)) == said


def test_it_is_a_set_scorer() -> None:
    assert isinstance(scorers.find("perplexity"), SetScorer)
