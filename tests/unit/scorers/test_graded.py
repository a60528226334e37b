"""Graded metrics, against their formulas and on bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.records.graded import DECISION_MARGIN, LIKELIHOOD, PROBABILITY, applies
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.graded import graded

OPTIONS = ("yes", "no", "perhaps")
logprobs = st.lists(
    st.floats(max_value=0.0, min_value=-200.0, allow_nan=False), min_size=3, max_size=3
)


def asked(target: Any = 0, choices: tuple[str, ...] = OPTIONS, **more: Any) -> Sample:
    return Sample("s", "input", target, "choice", "words", "easy", choices, **more)


def answered(*values: float) -> Output:
    return Output("", option_logprobs=values)


def test_the_formulas() -> None:
    found = graded(asked(), answered(math.log(0.5), math.log(0.25), math.log(0.25)))
    assert found == pytest.approx(
        {
            PROBABILITY: 0.5,
            LIKELIHOOD: 0.5 ** (1 / 3),
            DECISION_MARGIN: math.log(0.5) / 3 - math.log(0.25) / 7,
        }
    )
    assert found[DECISION_MARGIN] < 0.0


def test_an_option_in_two_byte_letters() -> None:
    found = graded(asked(1, ("a", "łó")), answered(-1.0, -2.0))
    assert found[LIKELIHOOD] == pytest.approx(math.exp(-2.0 / 4))


@given(logprobs, st.integers(0, 2))
def test_ranges_and_what_the_margin_means(values: list[float], right: int) -> None:
    sample, output = asked(right), answered(*values)
    found = graded(sample, output)
    assert 0.0 <= found[PROBABILITY] <= 1.0
    assert 0.0 <= found[LIKELIHOOD] <= 1.0
    score, _ = MultipleChoice().score(sample, output)
    assert score == float(found[DECISION_MARGIN] > 0.0)


@given(logprobs)
def test_probabilities_of_the_options_sum_to_one(values: list[float]) -> None:
    found = [graded(asked(k), answered(*values))[PROBABILITY] for k in range(3)]
    assert math.fsum(found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((-math.inf, -1.0, -2.0), {PROBABILITY: 0.0, LIKELIHOOD: 0.0}),
        ((-1.0, -math.inf, -math.inf), {PROBABILITY: 1.0, LIKELIHOOD: math.exp(-1 / 3)}),
        ((-math.inf, -math.inf, -math.inf), {}),
        ((math.nan, -1.0, -2.0), {}),
        ((-1.0, math.nan, -2.0), {}),
        ((0.5, -1.0, -2.0), {}),  # a similarity, not a likelihood
        ((-1.0, -2.0), {}),
        ((), {}),
    ],
)
def test_what_is_not_finite(values: tuple[float, ...], expected: dict[str, float]) -> None:
    assert graded(asked(), answered(*values)) == pytest.approx(expected)


def test_rounding_above_zero_is_cut_off() -> None:
    assert graded(asked(), answered(1e-9, -50.0, -60.0))[LIKELIHOOD] == 1.0


def test_an_empty_option() -> None:
    sample = asked(0, ("", "no"))
    assert MultipleChoice().check(sample) == (
        "choices: one is empty, and an option without a byte has no likelihood a byte"
    )
    assert graded(sample, answered(-1.0, -1.0)) == {PROBABILITY: 0.5}


def test_only_a_right_option_is_graded(sample: Callable[..., Sample]) -> None:
    pair = asked({"similarity": 3.0}, ("the other text",))
    assert graded(pair, answered(0.7)) == {}
    reply = Sample("s", "input", "4", "exact", "sums", "easy", max_tokens=8)
    assert [applies(PROBABILITY, one) for one in (asked(), pair, reply)] == [True, False, False]
    assert [applies(LIKELIHOOD, one) for one in (asked(), pair, reply)] == [True, False, True]
    assert all(applies(name, reply) for name in (None, "recall@10"))


@pytest.mark.parametrize("target", [-1, 2, 5])
def test_a_number_that_is_no_option(target: int) -> None:
    """A project's own scorer may have any target."""
    assert graded(asked(target, ("a", "b")), answered(-1.0, -2.0)) == {}
