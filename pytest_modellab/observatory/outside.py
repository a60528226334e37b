"""What can be said of a candidate that only answers: by vectors, next tokens, or likelihoods."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import run as running
from pytest_modellab.observatory.outcome import PREDICTIONS, Vectors
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.runtime import RUNTIME, Predicting
from pytest_modellab.observatory.verdict import NOTHING, sentence
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis, Finding, Measure, Side

Encode = Callable[[Sequence[str]], Any]
"""Texts → a vector each."""

_LONG = 3.0
"""Times the damage of the shortest texts, from which that of the longest is said to grow."""

_LENGTH = 1e-3
"""How far from one a length of one may be."""

_AGAIN = 1e-6
"""The distance of two answers to one question, from which an engine does not repeat itself."""


@dataclasses.dataclass(frozen=True)
class Outside:
    """What was measured of two engines.

    Attributes:
        measure: what ``damage`` is counted in.
        damage: the mean distance; None where only likelihoods are told.
        count: texts, or positions.
        by_length: tokens or characters in front → distance, the shortest first.
        again: the distance of the candidate's answers to the same question asked twice.
        other_splits: texts that the candidate cuts into another number of tokens.
        notes: more figures.
    """

    measure: Measure
    damage: float | None
    count: int
    by_length: tuple[tuple[int, float], ...] = ()
    again: float = 0.0
    other_splits: int = 0
    notes: tuple[str, ...] = ()


def vectors(
    base: Encode,
    candidate: Encode,
    texts: Sequence[str],
    counts: Sequence[Sequence[int]] = ((), ()),
) -> Outside:
    """Compare two encoders by their vectors.

    Args:
        base: gives the base's.
        candidate: gives the candidate's.
        texts: what both embed, alone and once more.
        counts: tokens of each text, the base's and the candidate's.
    """
    import torch

    ours, theirs, again = (
        torch.as_tensor(encode(texts)).float() for encode in (base, candidate, candidate)
    )
    if ours.shape != theirs.shape:
        note = f"its vectors have {theirs.shape[-1]} numbers, the base's {ours.shape[-1]}"
        return Outside("cosine", None, len(texts), notes=(note,))
    sizes = [vectors.norm(dim=-1) for vectors in (ours, theirs)]
    one = [bool((size - 1).abs().max() < _LENGTH) for size in sizes]
    notes = []
    if one[0] != one[1]:
        which = "the base's" if one[0] else "the candidate's"
        other = sizes[1] if one[0] else sizes[0]
        notes.append(
            f"only {which} vectors have length one (the others {other.min():.2g} to "
            f"{other.max():.2g}); they were compared by direction, as a search by cosine does"
        )
    compared = Vectors()
    p, q, r = map(compared.read, (ours, theirs, again))
    found = compared.apart(p, q).tolist()
    rows = sorted(zip(map(len, texts), found, strict=True))
    return Outside(
        "cosine",
        math.fsum(found) / len(found),
        len(texts),
        tuple(rows),
        float(compared.apart(q, r).max()),
        sum(a != b for a, b in zip(*counts, strict=True)),
        tuple(notes),
    )


def predictions(base: Any, engine: Predicting, probes: Probes) -> Outside:
    """Compare an engine with a base that transformers runs, by what follows the same token ids.

    Args:
        base: the base's model.
        engine: what is examined.
        probes: token ids of both.
    """
    import torch

    rows: list[tuple[int, float]] = []
    again = 0.0
    for number, window in enumerate(probes.windows):
        places = [len(window) // 2, len(window) - 1]
        with torch.no_grad():
            p = PREDICTIONS.read(running.forward(base, (window,)).cpu()[0, places])
        q = torch.as_tensor(engine.predictions(window, places)).to(p)
        values = PREDICTIONS.apart(p, q).tolist()
        rows += zip((place + 1 for place in places), values, strict=True)
        if number == 0:
            repeated = torch.as_tensor(engine.predictions(window, places)).to(p)
            again = float(PREDICTIONS.apart(q, repeated).abs().max())
    damage = math.fsum(value for _, value in rows) / len(rows)
    return Outside("nats", damage, len(rows), tuple(sorted(rows)), again)


def diagnosis(
    base: Side, candidate: Side, found: Outside, why: str, seconds: Mapping[str, float]
) -> Diagnosis:
    """Say what can be said: what comes in otherwise, what does not repeat itself, or nothing.

    Args:
        base: what is right.
        candidate: what is examined.
        found: what was measured.
        why: why no modules were looked into.
        seconds: so far.
    """
    findings = _findings(found)
    first = findings[0] if findings else None
    notes = [*found.notes, f"modules were not compared: {why}"]
    if growing := _growing(found):
        notes.insert(0, growing)
    nothing = found.damage is not None and found.damage < NOTHING
    headline = "nothing is damaged" if nothing else "what comes out differs; no part could be named"
    return Diagnosis(
        SCHEMA,
        base,
        candidate,
        "outputs",
        None if first is None else first.site,
        first.fault if first else ("none" if nothing else "unexplained"),
        sentence(first.site, first.fault) if first else headline,
        found.damage,
        found.count,
        findings=findings,
        notes=tuple(notes),
        seconds=seconds,
        measure=found.measure,
    )


def _findings(found: Outside) -> tuple[Finding, ...]:
    rows = []
    if found.other_splits:
        rows.append(
            Finding(
                "tokenizer",
                "tokenizer",
                f"{found.other_splits} of {found.count} texts have another number of tokens",
                likely="the tokenizer's files, a prompt or the limit of tokens are not the base's: "
                "compare tokenizer.json, the prompts and max_tokens",
            )
        )
    if found.again > _AGAIN:
        rows.append(
            Finding(
                RUNTIME,
                RUNTIME,
                f"asked the same twice, it answers otherwise, {found.again:.2g} apart",
                likely="it computes with a seed, in an order of its own, or in batches of others: "
                "ask it alone, on one thread",
            )
        )
    return tuple(rows)


def _growing(found: Outside) -> str:
    """Whether the distance grows with the length, as where a cache or rotations are to blame."""
    third = len(found.by_length) // 3
    if not third or found.damage is None or found.damage < NOTHING:
        return ""
    short, far = found.by_length[:third], found.by_length[-third:]
    near, late = (math.fsum(value for _, value in part) / third for part in (short, far))
    what = "characters" if found.measure == "cosine" else "tokens"
    if late <= _LONG * near:
        return f"it is there from the shortest texts on ({near:.2g}; the longest {late:.2g})"
    return (
        f"it grows with the length: {near:.2g} up to {short[-1][0]} {what}, {late:.2g} from "
        f"{far[0][0]} on"
    )
