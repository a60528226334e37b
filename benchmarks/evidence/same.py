"""Unchanged models: how often they are blocked, in runs that were made and in simulated ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.evidence import blocking
from benchmarks.evidence.figures import KL, SCORES, Figures, Floats, difference
from pytest_modellab import gate

ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two runs of one model by one metric.

    Attributes:
        label: which, and how the second was computed.
        metric: by what.
        drop: over all samples; of KL the divergence.
        worst: the largest drop of a capability.
        largest: the largest change of a sample, in either direction.
        blocked: by the name of the margins, whether all samples or any capability is blocked.
    """

    label: str
    metric: str
    drop: float
    worst: float
    largest: float
    blocked: Mapping[str, bool]


@dataclasses.dataclass(frozen=True)
class Margins:
    """What is allowed under one name.

    Attributes:
        drops: metric → allowed drop of the mean, and of a capability.
        limit: of the divergence, in nats a token; None where there is none.
    """

    drops: Mapping[str, tuple[float, float]]
    limit: float | None = None


def one_for_all(margin: float) -> Margins:
    """The same margin for every metric."""
    return Margins(dict.fromkeys(SCORES, (margin, margin)), margin or None)


def pairs(
    runs: Sequence[tuple[Figures, Figures]], margins: Mapping[str, Margins], alpha: float = ALPHA
) -> Iterator[Pair]:
    """Judge each second run against its first, by every metric that both have, at every margin.

    Half of alpha goes to all samples and half to the capabilities, as :func:`gate.compare` has it.
    """
    for first, second in runs:
        for metric in SCORES:
            yield _pair(first, second, metric, margins, alpha)
        if second.tokens.any() and not np.isnan(second.nats).any():
            yield _apart(second, margins, alpha)


def _pair(
    first: Figures, second: Figures, metric: str, margins: Mapping[str, Margins], alpha: float
) -> Pair:
    capabilities = np.array([sample.capability for sample in first.samples])
    clusters = [sample.cluster or sample.id for sample in first.samples]
    d = difference(metric, first, second)
    verdicts = {
        name: gate.compare(
            first.scores[metric],
            second.scores[metric],
            capabilities.tolist(),
            clusters,
            margin=allowed.drops[metric][0],
            bucket_margin=allowed.drops[metric][1],
            alpha=alpha,
        ).verdict
        for name, allowed in margins.items()
    }
    return Pair(
        label=second.label,
        metric=metric,
        drop=-float(d.mean()),
        worst=max(-float(d[capabilities == name].mean()) for name in set(capabilities)),
        largest=float(np.abs(d).max()),
        blocked={name: verdict == "block" for name, verdict in verdicts.items()},
    )


def _apart(second: Figures, margins: Mapping[str, Margins], alpha: float) -> Pair:
    everyone = np.arange(len(second.samples))[None, :]
    rules = {
        name: blocking.divergence_rule(second.nats, second.tokens, allowed.limit)
        for name, allowed in margins.items()
        if allowed.limit is not None
    }
    return Pair(
        label=second.label,
        metric=KL,
        drop=second.kl,
        worst=float("nan"),
        largest=float((second.nats / second.tokens).max()),
        blocked={name: bool(rule(everyone, alpha)[0]) for name, rule in rules.items()},
    )


def at_margin(d: Floats, margin: float) -> Floats:
    """Move differences so that their mean is a drop of the margin: the worst that is allowed.

    Differences of right and wrong cannot be moved a little. As many of the unchanged samples are
    made losses, or of the losses unchanged, as that takes.
    """
    if set(np.unique(d)) <= {-1.0, 0.0, 1.0}:
        return _as_many(d, margin)
    moved: Floats = d - d.mean() - margin
    return moved


def _as_many(d: Floats, margin: float) -> Floats:
    moved = d.copy()
    excess = round(float(d.sum() + margin * d.size))  # losses that are missing, or too many
    if excess > 0:
        moved[np.flatnonzero(d == 0.0)[:excess]] = -1.0
    else:
        moved[np.flatnonzero(d == -1.0)[:-excess]] = 0.0
    return moved


def simulated(
    metric: str,
    differences: Floats,
    margin: float,
    sizes: Sequence[int],
    repetitions: int,
    seed: int,
    level: float = ALPHA,
) -> dict[int, float]:
    """Share of simulated comparisons that are blocked, by samples a comparison.

    Args:
        metric: whose differences they are, for the seed.
        differences: what samples are drawn from, with replacement.
        margin: allowed drop.
        sizes: samples a comparison.
        repetitions: how many are simulated.
        seed: of the draws.
        level: the risk of one comparison.
    """
    rule = blocking.drop_rule(differences, margin)
    return {
        n: blocking.share(
            rule,
            differences.size,
            n,
            level,
            repetitions,
            blocking.generator(seed, metric, margin, n, repetitions),
        )
        for n in sizes
    }


def simulated_divergence(
    nats: Floats,
    tokens: Floats,
    limit: float,
    sizes: Sequence[int],
    repetitions: int,
    seed: int,
    level: float = ALPHA,
) -> dict[int, float]:
    """As :func:`simulated`, of divergences that are scaled so that their mean is the limit."""
    scaled = nats * (limit * tokens.sum() / nats.sum())
    rule = blocking.divergence_rule(scaled, tokens, limit)
    return {
        n: blocking.share(
            rule,
            tokens.size,
            n,
            level,
            repetitions,
            blocking.generator(seed, KL, limit, n, repetitions),
        )
        for n in sizes
    }


def others(metric: str, runs: Sequence[tuple[Figures, Figures]]) -> Floats:
    """All samples' differences of several pairs, as one population."""
    found = [difference(metric, first, second) for first, second in runs]
    together: Floats = np.concatenate(found)
    return together
