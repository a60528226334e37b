"""Token F1 of answers, as SQuAD counts it, and what supports them."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.answer import Answer, f1, words
from pytest_modellab.scorers.interface import Scored


def question(answers: Any = ("Paris",), **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": "q1",
        "input": "Where does the tower stand?",
        "target": {"answers": list(answers)},
        "scorer": "answer_f1",
        "capability": "answers",
        "difficulty": "easy",
        "max_tokens": 16,
    }
    return Sample(**{**values, **changes})


def score(reply: str, *answers: str, passages: tuple[str, ...] = ()) -> Scored:
    [scored] = Answer().score_all([question(answers)], [Output(reply, passages=passages)], ())
    assert scored.score == scored.metrics["f1"]
    return scored


def squad_f1(prediction: str, truth: str) -> float:
    """SQuAD's evaluate-v1.1.py, but for its answer to an empty truth."""

    def normalize(text: str) -> list[str]:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split()).split()

    said, wanted = normalize(prediction), normalize(truth)
    same = sum((Counter(said) & Counter(wanted)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(said), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


texts = st.lists(
    st.sampled_from(["the", "A", "an", "Paris", "paris,", "france", "St.", "3", "-", "thé"])
).map(" ".join)


@given(texts, texts)
def test_f1_is_squads(said: str, wanted: str) -> None:
    assert f1(words(said), words(wanted)) == pytest.approx(squad_f1(said, wanted), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The  Eiffel-Tower, a landmark.", ["eiffeltower", "landmark"]),
        ("An anthem", ["anthem"]),
        ("it's 3.5", ["its", "35"]),
        (" the a. ", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    ("reply", "best", "exact"),
    [
        ("Paris", 1.0, 1.0),
        (" the PARIS.\n", 1.0, 1.0),
        ("in Paris", 2 / 3, 0.0),
        ("Paris, France", 1.0, 1.0),  # of several answers the best
        ("France Paris", 1.0, 0.0),  # F1 knows no order, exactness does
        ("Rome", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("The.", 0.0, 0.0),
    ],
)
def test_the_best_answer_counts(reply: str, best: float, exact: float) -> None:
    found = score(reply, "Paris", "Paris France")
    assert found.score == pytest.approx(best)
    assert found.metrics["exact"] == exact


def test_only_the_first_line_counts() -> None:
    found = score("\n\n  Paris \nQuestion: Where is Rome?\nRome", "Paris")
    assert (found.score, found.answer) == (1.0, "Paris")
    assert score("  \n ", "Paris").answer == ""


@pytest.mark.parametrize(
    ("reply", "supported"),
    [
        ("Paris", 1.0),
        ("In the PARIS!", 1.0),
        ("Paris or Rome", 1 / 3),
        ("Paris Italy", 1 / 2),  # each stands in a passage, but not in one
        ("Madrid", 0.0),
        ("Pari", 0.0),  # words, not letters
        ("", 0.0),
        ("the", 0.0),
    ],
)
def test_supported(reply: str, supported: float) -> None:
    passages = ("The tower stands in Paris.", "Rome lies in Italy.")
    found = score(reply, "Lyon", passages=passages)
    assert found.metrics["supported"] == pytest.approx(supported)


def test_without_passages_nothing_is_supported() -> None:
    assert score("Paris", "Paris").metrics == {"f1": 1.0, "exact": 1.0, "supported": 0.0}


@given(texts, st.lists(texts, min_size=1), st.lists(texts))
def test_every_figure_lies_in_0_to_1(reply: str, answers: list[str], passages: list[str]) -> None:
    found = score(reply, *answers, passages=tuple(passages))
    assert all(0 <= value <= 1 for value in found.metrics.values())
    assert found.metrics["exact"] <= found.score or not words(reply)


UNANSWERED: list[Any] = ["Paris", {"answers": []}, {"answers": "Paris"}, {"relevant": {"d": 1}}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_tokens": 0}, "max_tokens: the scorer 'answer_f1' needs at least 1"),
        (
            {"choices": ("a", "b")},
            "choices: the scorer 'answer_f1' generates a reply and takes none",
        ),
        *(
            (
                {"target": target},
                "target: the scorer 'answer_f1' needs {\"answers\": [text, …]} "
                "with at least one answer",
            )
            for target in UNANSWERED
        ),
        *(
            (
                {"target": {"answers": ["Paris", answer]}},
                f"target: answers: {answer!r} is not a text with a word other than an article",
            )
            for answer in ("", " The. ", 3)
        ),
    ],
)
def test_check(changes: dict[str, Any], said: str) -> None:
    assert scorers.check(question(**changes)) == said


def test_check_finds_nothing() -> None:
    assert scorers.check(question()) is None
    assert scorers.check(question(target={"answers": ["x"], "relevant": {"d": 1}})) is None
