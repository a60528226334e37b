"""How long a variant takes to answer, measured beside its reference.

One request at a time, in rounds: each prompt goes to the variant and to its reference in turns, so
that whatever slows the machine down slows both. Time to the first token is the time of a reply of
one token; who answers with a whole text or ranking has no such time. What a prompt costs the first
time (compilation, caches) is not counted: a round before the first is thrown away.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pytest_modellab.engines.interface import Engine, GenerationRequest, abilities
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output
from pytest_modellab.records.timings import Rows, Timings

FEWEST = 2
"""Rounds that are made whatever they take: the warm-up, and one that counts."""


def spread(lengths: Sequence[int], count: int) -> tuple[int, ...]:
    """Choose prompts that stand for all of them: evenly spaced by length.

    Args:
        lengths: of each prompt, in any unit.
        count: how many to choose.

    Returns:
        Indices into ``lengths``, shortest first; all where there are no more than ``count``.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    if count >= len(order):
        return tuple(order)
    # the middles of `count` equal parts, so that neither extreme is overrepresented
    return tuple(order[(2 * k + 1) * len(order) // (2 * count)] for k in range(count))


def measure(
    engines: Sequence[Engine],
    requests: Sequence[Sequence[GenerationRequest]],
    settings: PerformanceConfig,
    *,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int, float], None] = lambda _done, _total, _most: None,
) -> tuple[Timings, ...]:
    """Time engines side by side.

    Args:
        engines: the variant and, if it has one, its reference.
        requests: the same prompts for each engine, in its own template.
        settings: rounds, how many requests arrive together, and the most seconds of all rounds.
            A round that would take longer than what is left of them is not begun, but for the
            warm-up and the first.
        clock: returns seconds.
        progress: called with rounds done and rounds in all, the warm-up counted in, and the most
            seconds that are left.

    Returns:
        One set of timings an engine, in their order.

    Raises:
        OutOfMemory: requests that arrive together do not fit.
    """
    prompts = len(requests[0])
    size = min(settings.concurrency, prompts)
    whole = ["score" not in abilities(engine) for engine in engines]
    groups = [range(i, min(i + size, prompts)) for i in range(0, prompts, size)]
    first: list[list[list[float]]] = [[] for _ in engines]
    end: list[list[list[float]]] = [[] for _ in engines]
    loaded: list[list[list[float]]] = [[] for _ in engines]
    outputs: list[dict[int, Output]] = [{} for _ in engines]
    rounds = settings.rounds + 1
    begun_all = begun_one = clock()
    for number in range(rounds):
        now = clock()
        left, longest = begun_all + settings.seconds - now, now - begun_one
        if number >= FEWEST and longest > left:
            break
        begun_one = now
        progress(number, rounds, max(left, 0.0))
        for rows in (first, end, loaded):
            for row in rows:
                row.append([])
        for i in range(prompts):
            # who goes first alternates: the second of two finds the machine warm
            order = range(len(engines)) if (number + i) % 2 else reversed(range(len(engines)))
            for k in order:
                request = requests[k][i]
                one = dataclasses.replace(request, max_tokens=1)
                begun = None if whole[k] else _timed(engines[k], [one], clock)[0]
                seconds, replies = _timed(engines[k], [request], clock)
                first[k][-1].append(seconds if begun is None else begun)
                end[k][-1].append(seconds)
                outputs[k][i] = replies[0]
        for number_of_group, group in enumerate(groups):
            order = range(len(engines))
            for k in order if (number + number_of_group) % 2 else reversed(order):
                seconds, _ = _timed(engines[k], [requests[k][i] for i in group], clock)
                loaded[k][-1].append(seconds)
    made = len(end[0])
    progress(made, made, 0.0)
    return tuple(
        Timings(
            first_token=_rows(first[k][1:]),
            end_to_end=_rows(end[k][1:]),
            tokens_in=tuple(outputs[k][i].tokens_in for i in range(prompts)),
            tokens_out=tuple(outputs[k][i].tokens_out for i in range(prompts)),
            loaded=_rows(loaded[k][1:]),
            groups=tuple(len(group) for group in groups),
            audio_seconds=_each(audio_seconds(one.media) for one in requests[k]),
            images=_each(images(one.media) for one in requests[k]),
        )
        for k in range(len(engines))
    )


def audio_seconds(media: Sequence[Media]) -> float:
    """Length of the recordings among media."""
    return math.fsum(one.seconds for one in media if one.kind == "audio")


def images(media: Sequence[Media]) -> int:
    """How many of some media are images."""
    return sum(one.kind == "image" for one in media)


_Number = TypeVar("_Number", int, float)


def _each(found: Iterable[_Number]) -> tuple[_Number, ...]:
    """One figure a prompt; nothing where all are 0."""
    figures = tuple(found)
    return figures if any(figures) else ()


def _timed(
    engine: Engine, requests: Sequence[GenerationRequest], clock: Callable[[], float]
) -> tuple[float, dict[int, Output]]:
    found: dict[int, Output] = {}
    start = clock()
    engine.generate(requests, budget=UNLIMITED, skip=set(), done=found.update)
    return clock() - start, found


UNLIMITED = 1 << 30
"""Requests that arrive together are answered as one batch."""


def _rows(rows: Sequence[Sequence[float]]) -> Rows:
    return tuple(tuple(max(round(seconds, 9), 1e-9) for seconds in row) for row in rows)
