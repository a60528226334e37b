"""What can be said of two models that share no modules: by what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import layouts, selfcheck, spoken, verdict
from pytest_modellab.observatory import probes as probing
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.spoken import Spoken
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.text import TextResult
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis

TEXT_FIRST = 0.05
"""Nats a token, below which a fault of the text side goes before all of the model's."""


def incomparable(base: Any, candidate: Any) -> str:
    """Say why two models cannot be compared module by module.

    Args:
        base: a model.
        candidate: a model.

    Returns:
        The reason; empty where they can.
    """
    for name, what in (
        ("vocab_size", "vocabulary"),
        ("hidden_size", "width"),
        ("num_hidden_layers", "number of layers"),
    ):
        ours, theirs = _of(base, name), _of(candidate, name)
        if name == "num_hidden_layers" and layouts.fewer(base, candidate) is not None:
            continue
        if ours is not None and theirs is not None and ours != theirs:
            return f"its {what} is {theirs}, the base's is {ours}"
    return ""


def diagnosis(
    base: Subject,
    candidate: Subject,
    probes: Probes,
    text: TextResult,
    reason: str,
    notes: Sequence[str],
    seconds: Mapping[str, float],
    *,
    pictures: bool = True,
) -> Diagnosis:
    """Say what can be said without looking into the modules.

    Args:
        base: what is right.
        candidate: what is examined.
        probes: what both would read.
        text: of the text side.
        reason: why modules are not compared.
        notes: so far.
        seconds: so far.
        pictures: whether they are drawn.

    Returns:
        The diagnosis, of the level ``outputs``.
    """
    damage = _damage(base, candidate, probes)
    alone = selfcheck.check(candidate, probes.windows if damage is not None else _own(candidate))
    heard = spoken.compare(base, candidate, probes)
    first = text.findings[0] if text.findings and _names(text, damage) else None
    if first is None:
        first = next((one for one in alone.findings if (one.nats or 0.0) > verdict.NOTHING), None)
    whole = "none" if damage is not None and damage <= verdict.NOTHING else "unexplained"
    said = verdict.decide(damage, (), whole, first)
    drawn = [one for one in (text.picture, heard.picture) if one is not None]
    return Diagnosis(
        SCHEMA,
        base.side,
        candidate.side,
        "outputs",
        said.culprit,
        said.fault,
        _headline(said, damage, reason),
        damage,
        probes.tokens,
        findings=(*alone.findings, *text.findings)
        if first in alone.findings
        else (*text.findings, *alone.findings),
        pictures=tuple(drawn) if pictures else (),
        notes=(
            *notes,
            *alone.notes,
            *heard.notes,
            f"modules were not compared: {reason}",
            *_said(heard),
        ),
        probes=probes.digest,
        seconds=seconds,
    )


def _names(text: TextResult, damage: float | None) -> bool:
    """Whether a text side is named: not one that the candidate was made for."""
    return not text.fits and (damage is None or damage < TEXT_FIRST or text.costs_more)


def _own(candidate: Subject) -> tuple[tuple[int, ...], ...]:
    """Windows of token ids that the candidate has, since it does not have the base's."""
    entries = candidate.model.get_input_embeddings().weight.shape[0]
    return probing.drawn(entries, tokens=160, long=0).windows


def _said(heard: Spoken) -> tuple[str, ...]:
    if heard.base is None or heard.candidate is None:
        return ()
    return (
        f"the base gives the texts {heard.base:.3f} nats a byte, the candidate "
        f"{heard.candidate:.3f}: what comes out is compared in bytes",
    )


def _damage(base: Subject, candidate: Subject, probes: Probes) -> float | None:
    """Nats a token, where both share a vocabulary."""
    import torch

    from pytest_modellab.observatory.run import forward

    if _of(base.model, "vocab_size") != _of(candidate.model, "vocab_size"):
        return None
    total = 0.0
    with torch.no_grad():
        for windows in probes.batches():
            p, q = (
                torch.log_softmax(forward(model, windows).cpu(), dim=-1)
                for model in (base.model, candidate.model)
            )
            total += (p.exp() * (p - q)).sum().double().item()
    return total / probes.tokens


def _of(model: Any, name: str) -> int | None:
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    value = getattr(config, name, None)
    return value if isinstance(value, int) else None


def _headline(said: verdict.Verdict, damage: float | None, reason: str) -> str:
    """What is said of two models without parts in common, of which none could be exchanged."""
    if said.culprit is not None:
        return said.headline
    if damage is None:
        return f"{said.headline}: {reason}"
    if said.fault == "none":
        return f"nothing is damaged, as far as what comes out tells: {reason}"
    return f"it differs, and no part of it could be exchanged for the base's: {reason}"
