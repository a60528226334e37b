"""How a metric's differences scatter, for ``modellab plan``: measured, given or assumed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import chosen
from pytest_modellab.errors import ConfigError

if TYPE_CHECKING:
    from pytest_modellab import gate
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.lab.changes import Change


ASSUMED_SD = 0.25
"""Of a graded metric's differences where no change was measured: rounding to 4 bits moves the
probability so much (SmolLM2-135M), and the likelihood a third of it."""


LEAST_SPREAD = 20
"""Samples of a bucket from which on its own differences tell how they scatter."""


class Lacking(ConfigError):
    """A task set knows nothing of the metric or the change that is asked about."""


def of(
    options: argparse.Namespace,
    changes: Sequence[Change],
    drop: float,
    baseline: Baseline | None,
) -> tuple[Callable[[Sequence[str]], gate.Spread | None], tuple[str, ...]]:
    """How a metric's differences scatter in any samples, and where that comes from.

    Args:
        options: of the command; they name the metric.
        changes: what was measured of variants and their bases.
        drop: what is asked about; the change nearest to it is taken.
        baseline: the accepted run whose second run tells what numerics alone do, or None.

    Returns:
        What gives the spread of some samples, by their ids; and notes.

    Raises:
        Lacking: the change that is asked for was not measured.
    """
    from pytest_modellab import gate

    metric = options.metric
    noise = _noise(metric, baseline)
    having = [one for one in changes if metric in one.differences]
    if options.change is not None:
        try:
            chosen("change", [options.change], [one.variant for one in having])
        except ConfigError as error:
            raise Lacking(*error.args) from error
        having = [one for one in having if one.variant == options.change]
    if options.sd is not None or not having:
        spread, notes = assumed(options)
        return lambda _: spread, (*notes, *noise)
    known = {one.words: gate.Spread.of(one.differences[metric].values()) for one in having}
    change = min(having, key=lambda one: (abs(known[one.words].drop - drop), one.words))
    pooled, differences = known[change.words], change.differences[metric]

    def spread_in(ids: Sequence[str]) -> gate.Spread:
        own = [differences[id_] for id_ in ids if id_ in differences]
        return gate.Spread.of(own) if len(own) >= LEAST_SPREAD else pooled

    why = "as asked" if options.change else "the nearest to the drop that is asked about"
    note = (
        f"spread {pooled.sd:.3g}, the standard deviation of the paired differences, as measured "
        f"({change.source} runs) of {change.words}, {_fell(pooled.drop)}, {why}"
    )
    others = ", ".join(f"{words} {one.sd:.3g}" for words, one in known.items() if one is not pooled)
    return spread_in, (note, *([f"spread of others: {others}"] if others else []), *noise)


def assumed(options: argparse.Namespace) -> tuple[gate.Spread, tuple[str, ...]]:
    """The spread that is given, or what stands in for a measured one; and where it comes from."""
    from pytest_modellab import gate

    sd = options.sd or ASSUMED_SD
    source = (
        "as given"
        if options.sd
        else ("assumed: no change was measured; accept a variant and its base, or give it: --sd")
    )
    return gate.Spread.normal(sd), (
        f"spread {sd:.3g}, the standard deviation of the paired differences, {source}",
    )


def _noise(metric: str, baseline: Baseline | None) -> tuple[str, ...]:
    """What numerics alone scatter, from the accepted run's second run."""
    from pytest_modellab import gate

    second = None if baseline is None else baseline.second_run()
    if baseline is None or second is None:
        return ()
    pairs = [
        (one.metrics.get(metric), other.metrics.get(metric))
        for one, other in zip(baseline.run.samples, second.samples, strict=True)
    ]
    found = [new - old for old, new in pairs if old is not None and new is not None]
    if len(found) < LEAST_SPREAD or not all(abs(value) <= 1 for value in found):
        return ()
    sd = gate.Spread.of(found).sd
    return (f"numerics alone: {sd:.2g}, {baseline.run.variant['name']!r} run twice",)


def _fell(drop: float) -> str:
    return f"which {'fell' if drop >= 0 else 'rose'} by {abs(drop):.3g}"
