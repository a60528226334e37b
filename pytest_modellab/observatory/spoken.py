"""Texts, as likely as two models hold them, per byte: where they share neither width nor words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from pytest_modellab.observatory import tokenization
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Lines, Picture, Series
from pytest_modellab.visible import line

TEXTS = 16
"""Texts that are read, at most."""

LENGTH = 800
"""Characters of each."""

_PARTS = 8
"""Parts of a text, by which likelihood is shown."""


@dataclasses.dataclass(frozen=True)
class Spoken:
    """How likely two models hold the same texts.

    Attributes:
        base: nats a byte, the base's log-likelihood; None where it cannot be asked.
        candidate: the candidate's.
        picture: ``likelihood``, by capability or text, and by place in the text.
        notes: what could not be asked, and why.
    """

    base: float | None = None
    candidate: float | None = None
    picture: Picture | None = None
    notes: tuple[str, ...] = ()


def compare(base: Subject, candidate: Subject, probes: Probes) -> Spoken:
    """Let two models read the same texts, each by its own tokenizer.

    Args:
        base: what is right.
        candidate: what is examined.
        probes: whose texts are read; with samples, by capability.

    Returns:
        Both figures, and where they part.
    """
    texts = [text[:LENGTH] for text in probes.texts[:TEXTS] if text.strip()]
    if not texts or base.tokenizer is None or candidate.tokenizer is None:
        return Spoken(notes=("likelihoods were not compared: there are no texts to read",))
    ours, theirs = ([_read(side, text) for text in texts] for side in (base, candidate))
    kept = [i for i, pair in enumerate(zip(ours, theirs, strict=True)) if None not in pair]
    if not kept:
        return Spoken(notes=("likelihoods were not compared: a tokenizer gives no known ids",))
    names = _names(probes, texts)
    groups = list(dict.fromkeys(names[i] for i in kept))
    rows = [
        [_mean([side[i] for i in kept if names[i] == group]) for group in groups]
        for side in (ours, theirs)
    ]
    places = [_places([side[i] for i in kept]) for side in (ours, theirs)]
    means = [_mean([side[i] for i in kept]) for side in (ours, theirs)]
    return Spoken(means[0], means[1], _picture(groups, rows, places, means))


Read = tuple[tuple[float, ...], int]
"""Log-likelihoods of a text's tokens but the first, and the text's bytes."""


def _read(subject: Subject, text: str) -> Read | None:
    import torch

    ids = tokenization.encode(subject.tokenizer, text)
    entries = subject.model.get_input_embeddings().weight.shape[0]
    if isinstance(ids, str) or len(ids) < 2 or max(ids) >= entries:
        return None
    row = torch.tensor([ids], device=subject.model.device)
    with torch.no_grad():
        logits = subject.model(input_ids=row, use_cache=False).logits[0, :-1].float()
    chosen = torch.log_softmax(logits, dim=-1).gather(1, row[0, 1:, None].to(logits.device))
    found = [float(one) for one in chosen[:, 0]]
    if not all(map(math.isfinite, found)):
        return None
    return tuple(found), len(text.encode("utf-8", "surrogatepass"))


def _mean(rows: Sequence[Read | None]) -> float:
    known = [row for row in rows if row is not None]
    return sum(sum(nats) for nats, _ in known) / sum(size for _, size in known)


def _places(rows: Sequence[Read | None]) -> list[float]:
    """By place in the texts, nats a byte."""
    total = [0.0] * _PARTS
    known = [row for row in rows if row is not None]
    for nats, _ in known:
        for i, one in enumerate(nats):
            total[i * _PARTS // len(nats)] += one
    size = sum(size for _, size in known) / _PARTS
    return [one / size for one in total]


def _names(probes: Probes, texts: Sequence[str]) -> list[str]:
    if len(probes.samples) >= len(texts):
        return [line(sample.capability, 40) for sample in probes.samples[: len(texts)]]
    return [f"{i + 1}: {line(text, 24)}" for i, text in enumerate(texts)]


def _picture(
    groups: Sequence[str],
    rows: Sequence[Sequence[float]],
    places: Sequence[Sequence[float]],
    means: Sequence[float],
) -> Picture:
    apart = [theirs - ours for ours, theirs in zip(*rows, strict=True)]
    worst = min(range(len(groups)), key=lambda i: apart[i])
    sentence = (
        f"The base gives the texts {means[0]:.3f} nats a byte, the candidate {means[1]:.3f}; most "
        f"is lost in '{groups[worst]}' ({apart[worst]:+.3f})."
    )
    panels = tuple(
        Lines(
            x=tuple(x),
            series=tuple(
                Series(name, tuple(round(one, 5) for one in values))
                for name, values in zip(("base", "candidate"), both, strict=True)
            ),
            x_name=x_name,
            unit="nats a byte",
            title=title,
            bars=bars,
            framed=framed,
        )
        for x, both, x_name, title, bars, framed in (
            (groups, rows, "texts", "By text", True, (worst,)),
            (
                [f"{i + 1}/{_PARTS}" for i in range(_PARTS)],
                places,
                "place in the text",
                "By place",
                False,
                (),
            ),
        )
    )
    return Picture("likelihood", "How likely texts are held", sentence, panels)
