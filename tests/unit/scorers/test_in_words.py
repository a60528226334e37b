"""Multiple choice asked in words: what is shown, in which order, and what a reply is worth."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output, SampleResult
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.scoring import score_sample
from pytest_modellab.scorers import in_words
from pytest_modellab.scorers.in_words import ChoiceInWords, one_letter, order, question, tokens


def ask(**changes: Any) -> Sample:
    given: dict[str, Any] = {
        "id": "s0",
        "input": "Which is a city?",
        "target": 0,
        "scorer": "choice",
        "capability": "c",
        "difficulty": "easy",
        "choices": ("Paris", "a dog", "blue"),
    }
    return Sample(**{**given, **changes})


def test_what_is_asked() -> None:
    sample = ask()
    first, second, third = (sample.choices[k] for k in order(sample))
    assert question(sample) == (
        f"Which is a city?\n\nA. {first}\nB. {second}\nC. {third}\n\n"
        "Reply with the letter of the right answer alone.\nAnswer:"
    )


def test_what_is_asked_stays_as_it_is() -> None:
    """Stored replies and accepted runs are of this text and order: new ones want a new version."""
    assert (ChoiceInWords.version, in_words.IDENTITY) == (1, "44568d459359ef53")
    assert [order(ask(id=f"s{k}")) for k in range(4)] == [
        (0, 1, 2),
        (1, 2, 0),
        (1, 2, 0),
        (2, 1, 0),
    ]


def test_the_order_is_that_of_what_is_asked() -> None:
    sample = ask()
    for same in (
        dataclasses.replace(sample, target=2),
        dataclasses.replace(sample, capability="d", metadata={"source": "x"}, cluster="k"),
    ):
        assert order(same) == order(sample)
    found = Counter(order(ask(id=f"s{k}")).index(0) for k in range(3000))
    assert all(900 < found[place] < 1100 for place in range(3))  # 5 standard deviations: 129
    assert len({order(ask(input=f"Which? {k}")) for k in range(100)}) == 6


def test_options_that_speak_of_those_above_stay_where_they_are() -> None:
    for k in range(20):
        assert order(ask(id=f"s{k}", choices=("x", "y", "None of the Above"))) == (0, 1, 2)


def test_a_reply_is_judged_by_the_order_that_was_shown() -> None:
    scorer = ChoiceInWords()
    for k in range(10):
        sample = ask(id=f"s{k}", target=1)
        right = "ABC"[order(sample).index(1)]
        for letter in "ABC":
            found = score_sample(scorer, sample, Output(f"{letter}."), None)
            assert found.score == float(letter == right)
            assert found.output == f"{letter}. {sample.choices[order(sample)['ABC'.index(letter)]]}"
            assert found.metrics == {"option_named": 1.0}
        assert scorer.score(sample, Output("a dog"))[0] == 1.0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("no idea", "(names no option) no idea"),
        ("A or B", "(names A and B) A or B"),
        ("", "(names no option) "),
    ],
)
def test_a_reply_that_names_no_option_is_wrong_and_says_why(reply: str, said: str) -> None:
    found = score_sample(ChoiceInWords(), ask(), Output(reply), None)
    assert (found.score, found.output) == (0.0, said)
    assert found.metrics == {"option_named": 0.0}
    assert found.confidence is None


def test_more_options_than_letters() -> None:
    assert question(ask(choices=tuple(map(str, range(26))))).count("\n") == 30
    with pytest.raises(ScoringError) as caught:
        question(ask(choices=tuple(map(str, range(27)))))
    assert str(caught.value) == (
        'sample s0: it has 27 options, and in words (scoring = "generated") at most 26 can be '
        'asked, a letter each: show fewer, or set scoring = "likelihood"'
    )


def test_the_samples_own_limit_of_tokens_counts() -> None:
    assert (tokens(ask()), tokens(ask(max_tokens=200)), tokens(ask(choices=()))) == (16, 200, 0)


def test_how_often_one_letter_is_named() -> None:
    def results(*replies: str) -> list[SampleResult]:
        return [
            score_sample(ChoiceInWords(), ask(id=f"s{k}"), Output(reply), None)
            for k, reply in enumerate(replies)
        ]

    assert one_letter(results(*["A"] * 19)) is None
    assert one_letter(results(*["A"] * 19, "no idea")) is None
    assert one_letter(results(*["A"] * 15, *["(b)"] * 5, "no idea")) == 0.75
    assert one_letter([]) is None
