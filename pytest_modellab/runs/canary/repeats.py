"""Does the same request get the same reply? Judged by replies alone."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.records.canary import Finding, Noise

OTHER = 1.0
"""Nats by which the first token of a reply differs only where another model gives it."""


def noise(alone: Sequence[Reply], among: Sequence[Reply]) -> Noise:
    """Measure how much replies to one greedy request differ.

    Args:
        alone: asked one after another, at least one.
        among: asked while other requests were under way, in several orders.
    """
    first, every = alone[0], [*alone, *among]
    apart = [abs(a - b) for one in every[1:] for a, b in _shared(first, one)]
    return Noise(
        replies=len(every),
        flips=sum(one.text != first.text for one in every),
        alone=sum(one.text != first.text for one in alone),
        nats=max(apart) if apart else None,
    )


def differing(alone: Sequence[object], among: Sequence[object]) -> Noise:
    """Measure how many answers to one request differ that are no texts: vectors, scores.

    Args:
        alone: asked one after another, at least one.
        among: asked together with others, or in other orders.
    """
    every = [*alone, *among]
    return Noise(
        replies=len(every),
        flips=sum(one != alone[0] for one in every),
        alone=sum(one != alone[0] for one in alone),
    )


def seeded(same: Sequence[Reply]) -> Finding | None:
    """Judge that a seed decides about what is drawn.

    Args:
        same: drawn with one seed.
    """
    texts = sorted({one.text for one in same})
    if len(texts) <= 1:
        return None
    return Finding(
        "seed ignored",
        f"two requests with one seed at temperature 1 got {texts[0][:50]!r} and {texts[1][:50]!r}",
        "the same reply",
        "whoever draws replies gets others each time: use a server that takes seed; samples are "
        "decoded greedily, so that scores are right",
        "seed",
    )


def changed(before: Reply, after: Reply) -> Finding | None:
    """Judge that one model answered all requests.

    Args:
        before: to a greedy request, at the beginning.
        after: to the same, at the end.
    """
    if not before.tokens or not after.tokens:
        return None
    a, b = before.tokens[0], after.tokens[0]
    known = {(one.id, one.text): one.logprob for one in (*b.top, b)}
    there = known.get((a.id, a.text), min(known.values()))
    if a.logprob - there <= OTHER:
        return None
    return Finding(
        "model swapped mid-run",
        f"the first token of a reply, {a.text!r}, had log-probability {a.logprob:.3f} at the "
        f"beginning and {there:.3f} at the end of the canary",
        "the same model behind the address all the time",
        "pin the server to one model, adapter and replica while it is judged",
    )


def _shared(one: Reply, other: Reply) -> Sequence[tuple[float, float]]:
    """Log-probabilities of the tokens that both replies begin with, side by side."""
    found = []
    for a, b in zip(one.tokens or (), other.tokens or (), strict=False):
        if (a.id, a.text) != (b.id, b.text):
            break
        found.append((a.logprob, b.logprob))
    return [pair for pair in found if pair[0] == pair[0] and pair[1] == pair[1]]
