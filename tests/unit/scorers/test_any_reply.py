"""Whatever a model says, every scorer gives a score, or says why not, at once."""

from __future__ import annotations

import importlib.util
from typing import Any

import hangs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.scoring import score_sample, score_sets

pytest.importorskip("jsonschema")

TARGETS: tuple[tuple[str, Any], ...] = (
    ("answer_f1", {"answers": ["the red house", "1"]}),
    ("exact", "Paris"),
    (
        "json_schema",
        {
            "properties": {"a": {"multipleOf": 0.01, "maximum": 1, "pattern": "^a+$"}},
            "additionalProperties": {"$ref": "#"},
            "uniqueItems": True,
        },
    ),
    ("number", "12.5"),
    ("refusal", "refuse"),
    ("refusal", "answer"),
    ("regex", r"(?i)^\W*(yes|no)\b.*[a-z]+\d$"),
)
if importlib.util.find_spec("jiwer") is not None:
    TARGETS += (
        ("anls", "Café 12"),
        ("cer", {"text": "Rue de l’École 12, Paris", "normalize": "written-1"}),
        ("wer", {"text": "twenty one Main Street", "normalize": "english-1"}),
        ("wer", {"text": "twenty one Main Street", "normalize": "basic-1"}),
    )


def results(reply: str) -> list[tuple[str, float | None, str]]:
    samples = tuple(
        Sample(f"s{i}", "x", target, scorer, "c", "easy", max_tokens=8)
        for i, (scorer, target) in enumerate(TARGETS)
    )
    assert [scorers.check(sample) for sample in samples] == [None] * len(samples)
    output = Output(reply, passages=(reply,))
    outputs = [output] * len(samples)
    together = score_sets(TaskSet("words", "1", samples), scorers.SCORERS, outputs)
    found = [
        score_sample(scorers.SCORERS[sample.scorer], sample, output, together.get(i))
        for i, sample in enumerate(samples)
    ]
    return [(s.scorer, r.score, r.output) for s, r in zip(samples, found, strict=True)]


def check(reply: str) -> None:
    for scorer, score, output in results(reply):
        if score is None:
            assert scorer in ("json_schema", "regex")
            assert output.startswith(("(the reply has", "(the expression", "(target: the schema"))
        else:
            assert 0.0 <= score <= 1.0


PIECES = st.sampled_from(
    [
        *'{}[]":,.-+eE0123456789abx \n\t"“”’\\',
        *("NaN", "Infinity", "1e400", "null", "true", "yes", "no ", "I can't ", "help "),
        *('{"a":', "[1,", "\\u0000", "\x00", "\u202e", "\u0661", "ß", "\ud800"),
    ]
)


@settings(max_examples=300)
@given(st.text(max_size=50) | st.lists(PIECES, max_size=60).map("".join))
def test_any_reply(reply: str) -> None:
    check(reply)


@pytest.mark.parametrize(
    "piece",
    [
        *('"', "“", "“”", "[", "{", '["', '{"a":', "[[],", "\\", "\ud800", "ß"),
        *("9", "9,", "9.", "-", "1e", "a", "a ", "\n", ". ", " "),
        *("i can't ", "i'll ", "sorry ", "very ", "a the ", "yes1 "),
    ],
)
def test_a_long_reply_takes_no_time(piece: str) -> None:
    for reply in (piece * (90_000 // len(piece)), "x" + piece * (90_000 // len(piece)) + "!"):
        with hangs.ends():
            check(reply)
