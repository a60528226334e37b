"""No single place is to be named: the change as a whole is an adapter's, or a rounding's."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import classes, tensors, transplant
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import weights as weighing
from pytest_modellab.observatory.forced import Passes
from pytest_modellab.observatory.run import BaseRun
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.weights import Weights

DIRECTIONS = 40
"""So many directions hold what an adapter changes of a matrix."""

LOW_RANK = 0.85
"""The share of a change in these directions, from which on it is an adapter's."""

_LOOKED_AT = 9
"""Leaves that are asked for their rank, or for how much of an adapter is in them."""

_EVERY = 23
"""Shares no factor with the seven projections of a layer."""

AS_EXPECTED = 1.5
"""Times the change that the declared rounding makes, up to which it is as expected."""

_OTHER_NORMS = 0.1
"""Norms that differ more were rewritten: scales moved to projections are of few directions too."""

_TOLERANCE = 0.05
"""How far from 1, or from 2, an adapter may seem to be applied."""

SCALES = (0.25, 0.5)
"""How much of an adapter is tried; none and all of it are known."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """What the change is as a whole.

    Attributes:
        fault: ``adapter``, ``uniform``, or ``unexplained``.
        sentence: what was seen.
        likely: what that means; empty where it is as it should be.
        evidence: figures.
        headline: one sentence, or empty for the usual one of its kind.
    """

    fault: str
    sentence: str
    likely: str = ""
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    headline: str = ""


def judge(base: Any, candidate: Any, weights: Weights) -> Whole:
    """Say what kind of change it is.

    Args:
        base: the base's model.
        candidate: the candidate's.
        weights: both, compared; ``expected`` of their changes is not looked at.

    Returns:
        The kind: ``adapter`` where it is low-rank, ``uniform`` where most matrices differ,
        ``unexplained`` where they do not.
    """
    linear = [one for one in weights.changes if _is_linear(one.leaf) and not one.note]
    changed = [one for one in linear if one.relative > 0]
    if not changed:
        return Whole("unexplained", "no weights of a projection differ")
    low = rank_share(base, candidate, [one.leaf for one in changed])
    norms = [one.relative for one in weights.changes if one.leaf.norm and not one.note]
    if low > LOW_RANK and statistics.median(norms or [0.0]) < _OTHER_NORMS:
        return Whole(
            "adapter",
            f"{len(changed)} of {len(linear)} projections differ, each in few directions: "
            f"{low:.0%} of the change lies in {DIRECTIONS}",
            evidence={"low_rank": round(low, 4)},
        )
    typical = statistics.median(one.relative for one in changed)
    said = f"{len(changed)} of {len(linear)} projections differ, by {typical:.2g} of their size"
    if len(changed) < 0.5 * len(linear):
        return Whole("unexplained", said, evidence={"low_rank": round(low, 4)})
    return Whole("uniform", f"{said}, none much more than its peers", evidence={"usual": typical})


def against_rounding(whole: Whole, weights: Weights, expected: Weights) -> Whole:
    """Compare a uniform change with what the declared rounding makes.

    Args:
        whole: of :func:`judge`.
        weights: base and candidate, compared.
        expected: base and what :func:`~.expected.expected` made of it, compared.

    Returns:
        The same, with the ratio of both.
    """
    due = {one.leaf.path: one.relative for one in expected.changes if _is_linear(one.leaf)}
    ratios = [
        one.relative / due[one.leaf.path]
        for one in weights.changes
        if due.get(one.leaf.path) and not one.note
    ]
    if not ratios:
        return whole
    ratio = statistics.median(ratios)
    fits = ratio <= AS_EXPECTED
    return dataclasses.replace(
        whole,
        sentence=f"{whole.sentence}; {ratio:.2g} times what the declared rounding makes: "
        + ("as expected" if fits else "worse than rounding needs"),
        headline="it is different everywhere, "
        + ("as its rounding makes it" if fits else "and more than its rounding needs"),
        likely=""
        if fits
        else "wrong scales, another group size, or rounded twice: quantize the base again",
        evidence={**whole.evidence, "times_expected": round(ratio, 4)},
    )


def against_adapter(
    whole: Whole, base: Any, candidate: Any, expected: Any, leaves: Sequence[Leaf]
) -> Whole:
    """Compare a change with what the declared adapter makes.

    Args:
        whole: of :func:`judge`.
        base: the base's model.
        candidate: the candidate's.
        expected: the base's with the adapter, in float, not rounded.
        leaves: of the base.

    Returns:
        The same, with how many times the adapter is in the candidate.
    """
    times = applied(base, candidate, expected, leaves)
    if times is None:
        return whole
    said, likely = _times(times)
    return dataclasses.replace(
        whole,
        sentence=f"{whole.sentence}; {said}",
        likely=likely or whole.likely,
        evidence={**whole.evidence, "times": round(times, 4)},
    )


def _times(times: float) -> tuple[str, str]:
    if abs(times - 1) <= _TOLERANCE:
        return "the adapter is applied once, as declared", ""
    if abs(times) <= _TOLERANCE:
        return (
            "the adapter is missing",
            "it was not loaded, or was trained on another base: build the variant again",
        )
    if abs(times - 2) <= 2 * _TOLERANCE:
        return (
            "the adapter is applied twice",
            "it was merged and then put on once more: merge it into the plain base",
        )
    return (
        f"the adapter is applied {times:.2f} times",
        f"another alpha or scale than adapter_config.json says: {times:.2f} times of it",
    )


def applied(base: Any, candidate: Any, expected: Any, leaves: Sequence[Leaf]) -> float | None:
    """Say how many times an adapter is in a candidate.

    Args:
        base: the base's model.
        candidate: the candidate's.
        expected: the base's with the adapter.
        leaves: of the base.

    Returns:
        The median over leaves of ``<W_C - W_B, W_E - W_B> / ‖W_E - W_B‖²``; None where the adapter
        changes none of them.
    """
    linear = list(filter(_is_linear, leaves))
    found: list[float] = []
    for leaf in (*linear[::_EVERY], *linear):  # a part of them, spread over layers and kinds
        if len(found) >= _LOOKED_AT:
            break
        due, seen = weighing.pair(base, expected, leaf), weighing.pair(base, candidate, leaf)
        if isinstance(due, str) or isinstance(seen, str):
            continue
        wanted = due[1].weight - due[0].weight
        size = float(wanted.square().sum())
        if size:
            there = seen[1].weight - seen[0].weight
            found.append(float((wanted * there).sum()) / size)
    return statistics.median(found) if found else None


def rank_share(base: Any, candidate: Any, leaves: Sequence[Leaf]) -> float:
    """Say how much of a change lies in few directions.

    Args:
        base: the base's model.
        candidate: the candidate's.
        leaves: that differ.

    Returns:
        The median over nine leaves, spread over the model, of the share of ``‖W_C - W_B‖²``.
    """
    step = max(len(leaves) / _LOOKED_AT, 1.0)
    chosen = [leaves[int(i * step)] for i in range(min(_LOOKED_AT, len(leaves)))]
    found = []
    for leaf in chosen:
        read = weighing.pair(base, candidate, leaf)
        if not isinstance(read, str):
            change = read[1].weight - read[0].weight
            found.append(classes.low_rank_share(change.reshape(len(change), -1), DIRECTIONS))
    return statistics.median(found) if found else 0.0


def layers_that_pay(passes: Passes, leaves: Sequence[Leaf]) -> dict[int, float]:
    """Share the nats that enter out among layers.

    Args:
        passes: the forced passes.
        leaves: of the base.

    Returns:
        Layer → nats a token, most first.
    """
    layers = {leaf.path: leaf.layer for leaf in leaves}
    found: dict[int, float] = {}
    for node in passes.nodes:
        layer = layers.get(node.path)
        if layer is not None and node.nats is not None:
            found[layer] = found.get(layer, 0.0) + node.nats
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def line_search(
    run: BaseRun, candidate: Any, paths: Sequence[str], scales: Sequence[float] = SCALES
) -> dict[float, float]:
    """Measure what less of a change costs.

    Args:
        run: the base's.
        candidate: the candidate's model.
        paths: of the leaves that differ.
        scales: shares of the change.

    Returns:
        Scale → nats a token.
    """
    found = {}
    for scale in scales:
        with _between(run.subject.model, candidate, paths, scale):
            found[scale] = running.left(run, run.subject.model)
    return found


@contextlib.contextmanager
def _between(base: Any, candidate: Any, paths: Sequence[str], scale: float) -> Iterator[None]:
    """Let the base's leaves give so much of the candidate's outputs: both are linear in weights."""

    def give(path: str) -> Any:
        own = base.get_submodule(path)
        other = transplant.fitted(candidate.get_submodule(path), own, base)

        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> Any:
            theirs = iter(tensors.floats(other(*args, **kwargs)))
            mixed = [mine + scale * (next(theirs) - mine) for mine in tensors.floats(output)]
            return tensors.put_floats(output, mixed)

        return lambda: own.register_forward_hook(hook, with_kwargs=True)

    with running.hooked([give(path) for path in paths]):
        yield


def _is_linear(leaf: Leaf) -> bool:
    return leaf.layer is not None and bool(leaf.branch) and not leaf.norm
