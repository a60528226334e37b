"""What can be said of two models that share no modules: by what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import layouts, verdict
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.text import TextResult
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis


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

    Returns:
        The diagnosis, of the level ``outputs``.
    """
    damage = _damage(base, candidate, probes)
    first = text.findings[0] if text.findings and (damage is None or text.costs_more) else None
    said = verdict.decide(damage, (), "unexplained", first)
    return Diagnosis(
        SCHEMA,
        base.side,
        candidate.side,
        "outputs",
        said.culprit,
        said.fault,
        said.headline if said.culprit else f"{said.headline}: {reason}",
        damage,
        probes.tokens,
        findings=text.findings,
        notes=(*notes, f"modules were not compared: {reason}"),
        probes=probes.digest,
        seconds=seconds,
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
