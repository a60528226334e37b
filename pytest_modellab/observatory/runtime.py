"""Weights are told from what runs them: the same token ids, asked of the engine itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import verdict
from pytest_modellab.observatory.outcome import PREDICTIONS, Vectors
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.records.diagnosis import Diagnosis, Finding

RUNTIME = "runtime"
"""The site, and the class, of an engine that computes something else of the same weights."""

NAMED = 0.02
"""Nats a token, from which a runtime is named: activations that are rounded to 8 bits cost less."""

HALF = 0.5
"""The share of the damage that must be gone where transformers runs the weights."""

PLACES = 2
"""Positions of a window that are asked, the last one among them."""


class Predicting(Protocol):
    """An engine that tells what comes next by token ids."""

    def predictions(self, ids: Sequence[int], places: Sequence[int]) -> Any:
        """Log-probabilities of the next token behind some places: (places, vocabulary)."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What an engine does with weights, beside what transformers does with them.

    Attributes:
        weights: ``KL(base || weights run by transformers)``, nats a token.
        whole: ``KL(base || engine)``.
        apart: ``KL(weights run by transformers || engine)``.
        positions: that were asked.
        widths: tokens before a position → ``apart`` there, as a mean.
    """

    weights: float
    whole: float
    apart: float
    positions: int
    widths: tuple[tuple[int, float], ...]

    @property
    def restored(self) -> float:
        """The share of the damage that is gone where transformers runs the weights."""
        return 1.0 - self.weights / self.whole if self.whole else 0.0

    @property
    def named(self) -> bool:
        """Whether the engine is to blame, and not the weights."""
        return not self.whole < NAMED and (self.restored >= HALF or not math.isfinite(self.whole))


def measure(base: Any, hybrid: Any, engine: Predicting, probes: Probes) -> Runtime:
    """Ask an engine what transformers was asked.

    Args:
        base: the base's model.
        hybrid: the engine's weights, in a model of transformers.
        engine: what runs them otherwise.
        probes: token ids.

    Returns:
        How far all three are apart.
    """
    import torch

    rows: list[tuple[int, float, float, float]] = []
    for window in probes.windows:
        width = len(window)
        places = sorted({width * (i + 1) // PLACES - 1 for i in range(PLACES)} - {-1})
        with torch.no_grad():
            p, h = (
                PREDICTIONS.read(running.forward(model, (window,)).cpu()[0, places])
                for model in (base, hybrid)
            )
        r = torch.as_tensor(engine.predictions(window, places)).to(p)
        figures = (PREDICTIONS.apart(*two).tolist() for two in ((p, h), (p, r), (h, r)))
        rows += zip((place + 1 for place in places), *figures, strict=True)
    return _summed(rows)


def measure_vectors(base: Any, hybrid: Any, engine: Any, probes: Probes) -> Runtime:
    """As :func:`measure`, of an encoder: the directions of its vectors.

    Args:
        base: the base's model.
        hybrid: the engine's weights in the base's code.
        engine: gives ``vectors_of`` rows of token ids.
        probes: token ids.
    """
    import torch

    compared = Vectors()
    rows: list[tuple[int, float, float, float]] = []
    for window in probes.windows:
        with torch.no_grad():
            p, h = (
                compared.read(running.forward(model, (window,)).cpu()[0])
                for model in (base, hybrid)
            )
        r = compared.read(torch.as_tensor(engine.vectors_of([window])).to(p))
        weights, whole, apart = (float(compared.apart(*two)) for two in ((p, h), (p, r), (h, r)))
        rows.append((len(window), weights, whole, apart))
    return _summed(rows)


def _summed(rows: Sequence[tuple[int, float, float, float]]) -> Runtime:
    means = [math.fsum(column) / len(rows) for column in list(zip(*rows, strict=True))[1:]]
    by_width: dict[int, list[float]] = {}
    for width, *_, apart in rows:
        by_width.setdefault(width, []).append(apart)
    widths = tuple((w, math.fsum(by_width[w]) / len(by_width[w])) for w in sorted(by_width))
    return Runtime(means[0], means[1], means[2], len(rows), widths)


def concluded(diagnosis: Diagnosis, found: Runtime, runner: str) -> Diagnosis:
    """Say whether it is the weights or what runs them.

    Args:
        diagnosis: of the weights, run by transformers.
        found: what the engine said.
        runner: the engine's name.

    Returns:
        The diagnosis, of the level ``weights``; it names the runtime where that is to blame.
    """
    words = diagnosis.measure == "nats"
    unit, places = ("nats a token", "positions") if words else ("of cosine distance", "texts")
    said = (
        f"{runner} is {found.apart:.2g} {unit} from transformers with the same weights, on "
        f"{found.positions} {places}"
    )
    if found.apart >= NAMED and found.whole < HALF * found.weights:
        why = "its weights do not give what it does: they were not read right, and are left out"
        return dataclasses.replace(
            diagnosis,
            level="outputs",
            culprit=None,
            fault="unexplained" if found.whole >= verdict.NOTHING else "none",
            headline="what comes out differs; no part could be named"
            if found.whole >= verdict.NOTHING
            else "nothing is damaged",
            damage=found.whole,
            tokens=found.positions,
            restored=None,
            culprits=(),
            findings=(),
            weights=(),
            nodes=(),
            remedy=None,
            answers=None,
            pictures=(),
            notes=(*diagnosis.notes, f"{said}; {why}"),
        )
    shared = f"of {found.whole:.2g} there, {found.weights:.2g} are the weights'"
    if not found.named:
        notes = (*diagnosis.notes, f"{said}; {shared}")
        return dataclasses.replace(diagnosis, level="weights", notes=notes)
    finding = Finding(
        RUNTIME,
        RUNTIME,
        f"{said}; {shared}",
        restored=round(found.restored, 4),
        likely=f"a kernel, rotations, the cache's type or the context differ: compare {runner}'s "
        "version and options with those of the conversion",
        evidence={f"nats behind {w} tokens": float(f"{v:.4g}") for w, v in found.widths},
    )
    return dataclasses.replace(
        diagnosis,
        level="weights",
        culprit=RUNTIME,
        fault=RUNTIME,
        headline=verdict.sentence(RUNTIME, RUNTIME),
        damage=found.whole,
        tokens=found.positions,
        restored=finding.restored,
        culprits=(RUNTIME,),
        findings=(finding, *diagnosis.findings),
        remedy=None,
    )
