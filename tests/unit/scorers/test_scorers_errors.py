"""The scorers `wer` and `cer`: jiwer's figures, whole corpora, and what cannot be counted."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import hangs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError, Unscorable
from pytest_modellab.records import counts
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import errors
from pytest_modellab.scorers.interface import Scored
from pytest_modellab.scorers.normalization import NORMALIZATIONS

jiwer: Any = pytest.importorskip("jiwer")


def sample(target: Any, scorer: str = "wer", id_: str = "s") -> Sample:
    return Sample(id_, "?", target, scorer, "c", "easy", max_tokens=8)


def scored(target: Any, reply: str, scorer: str = "wer") -> Scored:
    asked = sample(target, scorer)
    assert scorers.check(asked) is None
    (found,) = errors.ErrorRate(scorer).score_all([asked], [Output(reply)], ())
    return found


@pytest.mark.parametrize(
    ("target", "reply", "score", "figures"),
    [
        ("the red house", "the red house", 1.0, (3, 0, 0, 0, 3)),
        ("the red house", "the  read\nhouse", 2 / 3, (2, 1, 0, 0, 3)),
        ("the red house", "", 0.0, (0, 0, 3, 0, 3)),
        ("the red house", "the red big old house", 1 / 3, (3, 0, 0, 2, 3)),
        ("red", "a very big red house", 0.0, (1, 0, 0, 4, 1)),
        ("", "", 1.0, (0, 0, 0, 0, 0)),
        ("", "thank you", 0.0, (0, 0, 0, 2, 0)),
        ("House", "house", 0.0, (0, 1, 0, 0, 1)),
        ({"text": "House", "normalize": "basic-1"}, "“house.”", 1.0, (1, 0, 0, 0, 1)),
        ({"text": "21 cats", "normalize": "english-1"}, "Twenty-one cats.", 1.0, (2, 0, 0, 0, 2)),
    ],
)
def test_words(target: Any, reply: str, score: float, figures: tuple[int, ...]) -> None:
    found = scored(target, reply)
    assert found.score == pytest.approx(score)
    assert found.answer == reply
    assert tuple(found.metrics.items()) == tuple(
        zip(
            ("word_hits", "word_substitutions", "word_deletions", "word_insertions", "words"),
            map(float, figures),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("target", "reply", "score", "size"),
    [
        ("東京都", "京都", 2 / 3, 3),
        ("a  b", "a b", 1.0, 3),
        ({"text": "e\u0301té", "normalize": "written-1"}, "été", 1.0, 3),
        ({"text": "\uff11\uff12", "normalize": "written-1"}, "12", 1.0, 2),
    ],
)
def test_characters(target: Any, reply: str, score: float, size: int) -> None:
    found = scored(target, reply, "cer")
    assert found.score == pytest.approx(score)
    assert found.metrics["characters"] == size


TEXTS = st.lists(
    st.tuples(*2 * [st.lists(st.sampled_from(["a", "b", "ab", "ça", "東京"]), max_size=6)]),
    min_size=1,
    max_size=5,
).filter(lambda pairs: any(reference for reference, _ in pairs))


@given(TEXTS)
def test_the_corpus_is_jiwers(pairs: Sequence[tuple[list[str], list[str]]]) -> None:
    wanted, said = ([" ".join(pair[side]) for pair in pairs] for side in (0, 1))
    outputs = [Output(text) for text in said]
    for rate, whole in (
        ("wer", jiwer.process_words(wanted, said)),
        ("cer", jiwer.process_characters(wanted, said)),
    ):
        found = errors.ErrorRate(rate).score_all([sample(t, rate) for t in wanted], outputs, ())
        metrics = [one.metrics for one in found]
        assert counts.rates(metrics) == {rate: pytest.approx(getattr(whole, rate), abs=1e-12)}
        for one, text in zip(metrics, wanted, strict=True):
            parts = [one[counts.name(rate, kind)] for kind in counts.KINDS]
            assert sum(parts[:3]) == one[counts.size(rate)]
            assert one[counts.size(rate)] == len(text.split() if rate == "wer" else text)
        for kind in counts.KINDS:
            assert sum(one[counts.name(rate, kind)] for one in metrics) == getattr(whole, kind)


def test_no_reference_has_no_rate() -> None:
    assert counts.rates([{}, dict(scored("", "thank you").metrics)]) == {}


def test_insertions_count_in_full() -> None:
    assert counts.rates([scored("red", "a very big red house").metrics]) == {"wer": 4.0}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            3,
            "target: the scorer 'wer' needs the text, or "
            '{"text": text, "normalize": name}, not 3',
        ),
        (
            {"text": "a", "normalise": "none"},
            "target: the scorer 'wer' needs the text, or "
            '{"text": text, "normalize": name}, not '
            "{'text': 'a', 'normalise': 'none'}",
        ),
        (
            {"text": "a", "normalize": "english-9"},
            "target: normalize: unknown 'english-9'; did you mean 'english-1'? Known: basic-1, "
            "caseless-1, english-1, none, written-1",
        ),
        (
            {"text": "a", "normalize": ["none"]},
            "target: normalize: unknown ['none']; did you mean 'none'? Known: basic-1, caseless-1, "
            "english-1, none, written-1",
        ),
        (
            {"text": "…!", "normalize": "basic-1"},
            "target: '…!' has no word left after 'basic-1'; of silence the text is empty",
        ),
        ("a" * 100_001, "target: a text of 100001 characters; 100000 is the most"),
    ],
)
def test_check(target: Any, said: str) -> None:
    assert scorers.check(sample(target)) == said


def test_a_changed_normalization_is_another_sample() -> None:
    hashes = {sample({"text": "a", "normalize": name}).content_hash for name in NORMALIZATIONS}
    assert len(hashes) == len(NORMALIZATIONS)


def test_a_megabyte_is_counted_at_once() -> None:
    with hangs.ends():
        found = scored("one two three", "one " * 250_000)
    assert found.score == 0.0
    assert found.metrics["word_insertions"] == 250_000 - 3


def test_what_is_too_long_to_be_aligned() -> None:
    with pytest.raises(Unscorable) as failed:
        scored("a" * 100_000, "b" * 100_001, "cer")
    assert str(failed.value) == (
        "the reply has 100001 characters, the reference 100000: more than 1e+10 pairs are not "
        "aligned"
    )


def test_jiwer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "jiwer":
            raise ImportError(name=name)
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ScoringError) as failed:
        scored("a", "a")
    assert str(failed.value) == (
        "the scorer 'wer' needs jiwer: pip install 'pytest-modellab[speech]'"
    )
