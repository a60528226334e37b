"""What vLLM is asked to know how likely options are: pure, without vLLM."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.language.vllm_engine import MOST_TOLD, likelihood, questions

OPTIONS = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=4), min_size=1, max_size=200)


def test_options_that_begin_alike_are_asked_once() -> None:
    assert questions([[5], [5, 6], [5, 7], [8]]) == [((), [5, 8]), ((5,), [6, 7])]


@given(OPTIONS)
def test_every_token_is_asked_once_and_added_up(options: list[list[int]]) -> None:
    asked = questions(options)
    assert all(1 <= len(tokens) <= MOST_TOLD for _, tokens in asked)
    places = [(before, token) for before, tokens in asked for token in tokens]
    assert len(set(places)) == len(places)
    assert {(*before, token) for before, token in places} == {
        tuple(option[: end + 1]) for option in options for end in range(len(option))
    }
    assert asked[0][0] == ()  # the context, which those behind it find computed
    told = dict(zip(places, map(float, itertools.count(1)), strict=False))
    for option in options:
        parts = [told[tuple(option[:k]), token] for k, token in enumerate(option)]
        assert likelihood(option, told) == sum(parts)
