"""Latency: interleaved, warm-up left out, equal prompts for both."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.interface import Done, GenerationRequest
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.runs import latency


class Clock:
    """Seconds that only engines spend."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Takes `first` seconds for a batch and `each` for every further token; logs its calls."""

    def __init__(self, name: str, clock: Clock, log: list[Any], first: float, each: float) -> None:
        self.name, self.clock, self.log, self.first, self.each = name, clock, log, first, each

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self.log.append((self.name, tuple(r.context for r in requests), requests[0].max_tokens))
        longest = max(request.max_tokens for request in requests)
        self.clock.now += self.first + self.each * (longest - 1)
        done({i: Output("", tokens_in=7, tokens_out=r.max_tokens) for i, r in enumerate(requests)})


def run(
    rounds: int = 3, concurrency: int = 2
) -> tuple[tuple[Timings, ...], list[Any], list[tuple[int, int]]]:
    clock = Clock()
    log: list[Any] = []
    seen: list[tuple[int, int]] = []
    engines: Any = [Engine("a", clock, log, 0.5, 0.1), Engine("b", clock, log, 1.0, 0.2)]
    requests = [GenerationRequest(text, 5) for text in ("x", "y", "z")]
    found = latency.measure(
        engines,
        [requests, requests],
        PerformanceConfig(requests=3, rounds=rounds, concurrency=concurrency),
        clock=clock,
        progress=lambda done, total, _: seen.append((done, total)),
    )
    return found, log, seen


class Whole(Engine):
    """Answers with a whole text."""

    abilities = frozenset({"generate"})


def media(*seconds: float, image: bool = False) -> tuple[Media, ...]:
    heard = tuple(Media("audio", "0" * 64, "a.wav", seconds=one) for one in seconds)
    return (*heard, *([Media("image", "0" * 64, "a.png")] if image else []))


def test_who_answers_with_a_whole_text_is_asked_once() -> None:
    clock = Clock()
    log: list[Any] = []
    asked = [
        GenerationRequest("x", 5, media=media(1.5, 2.0)),
        GenerationRequest("y", 5, media=media(image=True)),
    ]
    (found,) = latency.measure(
        [Whole("a", clock, log, 0.5, 0.1)],  # type: ignore[list-item]
        [asked],
        PerformanceConfig(requests=2, rounds=1, concurrency=1),
        clock=clock,
    )
    assert found.first_token == found.end_to_end == ((0.9, 0.9),)
    assert {most for _, _, most in log} == {5}
    assert (found.audio_seconds, found.images) == ((3.5, 0.0), (0, 1))


def test_text_has_neither_seconds_nor_images() -> None:
    (a, _), _, _ = run()
    assert (a.audio_seconds, a.images) == ((), ())


def test_the_times_are_the_engines() -> None:
    (a, b), _, _ = run()
    assert a.first_token == ((0.5, 0.5, 0.5),) * 3
    assert a.end_to_end == ((0.9, 0.9, 0.9),) * 3
    assert b.end_to_end == ((1.8, 1.8, 1.8),) * 3
    assert a.loaded == ((0.9, 0.9),) * 3
    assert a.groups == (2, 1)
    assert a.tokens_in == (7, 7, 7)
    assert a.tokens_out == (5, 5, 5)


def test_the_first_round_is_not_counted() -> None:
    (a, _), log, seen = run(rounds=3)
    assert len(a.end_to_end) == 3
    assert sum(call == ("a", ("x",), 5) for call in log) == 4
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_variant_and_reference_take_turns_and_turns_in_going_first() -> None:
    _, log, _ = run()
    whole = [name for name, texts, tokens in log if (texts, tokens) == (("x",), 5)]
    assert sorted(whole[:2]) == ["a", "b"]
    firsts = whole[::2]
    assert set(firsts) == {"a", "b"}


def test_more_at_once_than_there_are_prompts_is_one_group() -> None:
    (a, _), _, _ = run(concurrency=16)
    assert a.groups == (3,)


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 60))
def test_prompts_are_spread_over_all_lengths(lengths: list[int], count: int) -> None:
    chosen = latency.spread(lengths, count)
    assert len(set(chosen)) == len(chosen) == min(count, len(lengths))
    assert [lengths[i] for i in chosen] == sorted(lengths[i] for i in chosen)


@pytest.mark.parametrize(("count", "chosen"), [(1, (5,)), (2, (2, 7)), (20, tuple(range(10)))])
def test_spread_takes_middles(count: int, chosen: tuple[int, ...]) -> None:
    assert latency.spread(list(range(10)), count) == chosen


def capped(seconds: int, rounds: int = 5) -> tuple[int, list[tuple[int, int, float]]]:
    """Rounds of 2.8 s each, as many as fit; how many count, and what progress was told."""
    clock = Clock()
    seen: list[tuple[int, int, float]] = []
    (found,) = latency.measure(
        [Whole("a", clock, [], 0.5, 0.1)],  # type: ignore[list-item]
        [[GenerationRequest("x", 10)]],
        PerformanceConfig(requests=1, rounds=rounds, concurrency=1, seconds=seconds),
        clock=clock,
        progress=lambda *told: seen.append((told[0], told[1], round(told[2], 6))),
    )
    assert len(found.end_to_end) == len(found.loaded) == len(found.first_token)
    return len(found.end_to_end), seen


def test_rounds_that_do_not_fit_are_not_begun() -> None:
    assert capped(600)[0] == 5
    made, seen = capped(12)  # the warm-up and three more take 11.2 s
    assert made == 3
    assert seen == [(0, 6, 12), (1, 6, 9.2), (2, 6, 6.4), (3, 6, 3.6), (4, 4, 0)]


def test_one_round_is_timed_whatever_it_takes() -> None:
    assert capped(1)[0] == 1


def test_fewer_rounds_than_declared_are_said() -> None:
    (a, b), _, _ = run(rounds=3)
    made = Performance(a, b, {}, {}, 5)
    assert made.cut == (
        "3 of 5 rounds were timed, then the time was up: performance.seconds in modellab.toml "
        "gives more, fewer requests or max_tokens take less"
    )
    assert (Performance(a, b, {}, {}, 3).cut, Performance(a, b, {}, {}).cut) == ("", "")
