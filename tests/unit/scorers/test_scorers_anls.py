"""The scorer `anls`: the paper's formula, its threshold, and wrong targets."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.anls import Anls

pytest.importorskip("rapidfuzz")


def sample(target: Any) -> Sample:
    return Sample("s", "?", target, "anls", "c", "easy", max_tokens=8)


@pytest.mark.parametrize(
    ("target", "reply", "score"),
    [
        ("Invoice 12", "invoice  12\n", 1.0),
        ("Invoice 12", "Invoice 13", 0.9),
        ("abcd", "abxy", 0.0),  # at the threshold
        ("abcde", "abcxy", 0.6),
        ("abcd", "", 0.0),
        ("abcd", "abcdabcd", 0.0),
        ({"answers": ["12", "twelve"]}, "twelv", 5 / 6),
        ({"answers": ["Twelve."], "normalize": "basic-1"}, "twelve", 1.0),
        ({"answers": ["Twelve"], "normalize": "none"}, "twelve", 5 / 6),
    ],
)
def test_score(target: Any, reply: str, score: float) -> None:
    asked = sample(target)
    assert scorers.check(asked) is None
    found, shown = Anls().score(asked, Output(reply))
    assert found == pytest.approx(score)
    assert shown == reply


WRONG = (
    "target: the scorer 'anls' needs the answer, or "
    '{{"answers": [text, …], "normalize": name}}, not {}'
)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (3, WRONG.format(3)),
        ({"answers": []}, WRONG.format({"answers": []})),
        ({"answers": [3]}, WRONG.format({"answers": [3]})),
        ({"text": "a"}, WRONG.format({"text": "a"})),
        (" ", "target: the answer ' ' is empty"),
        (
            {"answers": ["…"], "normalize": "basic-1"},
            "target: the answer '…' is empty",
        ),
        ("a" * 100_001, "target: an answer of 100001 characters; 100000 is the most"),
    ],
)
def test_check(target: Any, said: str) -> None:
    assert scorers.check(sample(target)) == said


def test_rapidfuzz_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("rapidfuzz"):
            raise ImportError(name=name)
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ScoringError) as failed:
        Anls().score(sample("a"), Output("a"))
    assert str(failed.value) == (
        "the scorer 'anls' needs rapidfuzz, which comes with jiwer: "
        "pip install 'pytest-modellab[documents]'"
    )
