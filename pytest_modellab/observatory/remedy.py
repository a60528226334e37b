"""What to do about it: what to keep in full precision, how much of an adapter, which files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modellab.engines import memory
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import sites, transplant
from pytest_modellab.observatory.forced import Passes
from pytest_modellab.observatory.run import BaseRun, Damage
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.whole import Whole
from pytest_modellab.records.diagnosis import Kept, Remedy
from pytest_modellab.variants.methods import skipping

COUNTS = (1, 2, 4, 8, 16)
"""So many modules are tried."""

MORE = (32, 64)
"""And so many, where these restore less than half."""

HELPS = 0.1
"""The share of the damage that a list must restore to be worth a paste."""

_ENOUGH = 0.5
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Costly:
    """A leaf whose rounding costs something.

    Attributes:
        leaf: which.
        nats: a token, that enter there.
        bytes: more than now, if it is kept in full precision.
    """

    leaf: Leaf
    nats: float
    bytes: int


def keep(
    run: BaseRun,
    candidate: Subject,
    found: Damage,
    passes: Passes,
    in_time: Callable[[], bool] = lambda: True,
    full: Any = None,
) -> Remedy | None:
    """Find out what of a quantized candidate is worth its bytes in full precision.

    Args:
        run: the base's.
        candidate: which is left as it was.
        found: its damage.
        passes: the forced passes, with what enters where.
        in_time: whether there is time to measure one more point.
        full: the model that the candidate would be without rounding; None for the base's.

    Returns:
        A list in the order of nats a byte, what its first 1, 2, 4, 8, 16 … modules restore, and
        the shortest that restores half; None where nothing is rounded.
    """
    ranked = ranking(run, candidate, passes)
    if not ranked or not found.nats > 0:
        return None
    curve: list[Kept] = []
    for count in dict.fromkeys(min(count, len(ranked)) for count in (*COUNTS, *MORE)):
        if count > COUNTS[-1] and max(one.restored for one in curve) >= _ENOUGH:
            break
        if curve and not in_time():
            break
        first = ranked[:count]
        with transplant.exchange(
            full or run.subject.model, candidate.model, [one.leaf.path for one in first]
        ):
            left = running.left(run, candidate.model)
        restored = 1 - left / found.nats
        curve.append(Kept(count, round(restored, 4), sum(one.bytes for one in first)))
    return advice(
        candidate,
        found.nats,
        [one.leaf.path for one in ranked[: curve[-1].modules]],
        curve,
        _all(run, candidate),
    )


def ranking(run: BaseRun, candidate: Subject, passes: Passes) -> list[Costly]:
    """Rank the rounded leaves by the nats that each restores a byte.

    Args:
        run: the base's.
        candidate: the quantized one.
        passes: the forced passes.

    Returns:
        The first 64 that restore anything.
    """
    found = []
    for leaf in filter(_is_rounded, run.leaves):
        node = passes.node("leaf", leaf.path)
        if node is None or not node.nats or node.nats < 0:
            continue
        more = _more(run.subject, candidate, leaf)
        if more > 0 and node.relative > 0:
            found.append(Costly(leaf, node.nats, more))
    return sorted(found, key=lambda one: (-one.nats / one.bytes, one.leaf.path))[: MORE[-1]]


def advice(
    candidate: Subject, nats: float, paths: Sequence[str], curve: Sequence[Kept], of: int
) -> Remedy:
    """Say which list to paste.

    Args:
        candidate: the quantized one.
        nats: its damage.
        paths: in the order in which they are kept.
        curve: measured.
        of: so many modules are rounded in all.

    Returns:
        The remedy; without anything to paste where no list helps.
    """
    most = max(curve, key=lambda one: one.restored)
    if most.restored < HELPS:
        return Remedy(
            f"no list helps: {most.modules} modules in full precision restore "
            f"{max(most.restored, 0):.0%} of {nats:.3g} nats; the rounding costs a little "
            "everywhere: take more bits, smaller groups, or another method",
            modules=tuple(paths),
            curve=tuple(curve),
        )
    goal = min(_ENOUGH, most.restored)
    chosen = next(one for one in curve if one.restored >= goal)
    sentence = (
        f"{chosen.modules} of {of} modules kept in full precision restore {chosen.restored:.0%} of "
        f"{nats:.3g} nats, for {_size(chosen.bytes)} more"
    )
    return Remedy(
        sentence,
        paste(candidate, paths[: chosen.modules]),
        tuple(paths),
        tuple(curve),
    )


def paste(candidate: Subject, paths: Sequence[str]) -> str:
    """Write the lines for ``modellab.toml``.

    Args:
        candidate: a variant.
        paths: of modules that are kept, beside those that it keeps already.

    Returns:
        The lines; empty where the candidate is no variant that is quantized while it is loaded.
    """
    plan = candidate.plan
    if plan is None or not skipping.taken(plan.quantization):
        return ""
    if any(
        step.name == "adapter" for step in plan.steps
    ):  # on a base that is quantized: that one's
        return ""
    names = "".join(f'    "{path}",\n' for path in (*plan.skipped, *paths))
    return f"[variants.{candidate.side.name}]\n{skipping.OPTION} = [\n{names}]\n"


def less(
    candidate: Subject,
    whole: Whole,
    nats: float,
    pays: Mapping[int, float],
    scales: Mapping[float, float],
) -> Remedy:
    """Say what to do about an adapter.

    Args:
        candidate: with the adapter.
        whole: what was said of it.
        nats: the damage.
        pays: layer → nats a token, most first.
        scales: how much of it → nats a token, measured.

    Returns:
        The remedy: which layers pay, and how much of the adapter.
    """
    if whole.likely:
        times = whole.evidence.get("times")
        wanted = 1 / times if isinstance(times, float) and times > 0 else None
        lines = _scale(candidate, wanted) if wanted is not None and abs(wanted - 1) > 0.05 else ""
        return Remedy(f"{whole.sentence.rpartition('; ')[2]}: {whole.likely}", lines)
    total = sum(max(one, 0.0) for one in pays.values()) or 1.0
    first = [layer for layer, one in pays.items() if one > 0][:_NAMED]
    held = sum(pays[layer] for layer in first) / total
    layers = ", ".join(map(str, sorted(first)))
    said = [f"layers {layers} pay {held:.0%} of {nats:.3g} nats"] if first else []
    tried = [f"scale = {scale:g} costs {cost:.3g} nats" for scale, cost in scales.items()]
    if tried:
        said.append(", ".join(tried))
    half = scales.get(0.5)
    helps = half is not None and half < (1 - HELPS) * nats
    if helps:
        said.append("measure again what it was trained for")
    sentence = "; ".join(said)
    return Remedy(sentence, _scale(candidate, 0.5) if helps else "")


def _scale(candidate: Subject, scale: float) -> str:
    plan = candidate.plan
    steps = () if plan is None else plan.steps
    own = next((step.settings for step in steps if step.name == "adapter"), None)
    if own is None or type(own["merged"]) is not bool:  # merged by somebody else
        return ""
    scale *= float(own.get("scale", 1.0))
    return f"[variants.{candidate.side.name}]\nscale = {scale:.3g}\n"


def _more(base: Subject, candidate: Subject, leaf: Leaf) -> int:
    """Bytes that a leaf takes more in full precision."""
    own = base.model.get_submodule(leaf.path)
    other = sites.module(candidate.model, leaf.path)
    if other is None:
        return 0
    width = next(own.parameters()).element_size()
    kept = getattr(candidate.model, "dtype", None)
    full = memory.parameter_bytes(own) // width * (kept.itemsize if kept is not None else width)
    settings = {} if candidate.plan is None else candidate.plan.quantization
    if settings.get("method") == "rtn":
        rows, columns = own.weight.shape
        groups = -(-columns // int(settings["group_size"]))
        return int(full - rows * (columns * int(settings["bits"]) / 8 + groups * 4))
    return int(full - memory.parameter_bytes(other))


def _all(run: BaseRun, candidate: Subject) -> int:
    return sum(_more(run.subject, candidate, leaf) > 0 for leaf in run.leaves if _is_rounded(leaf))


def _is_rounded(leaf: Leaf) -> bool:
    """Whether methods of quantization round such a leaf."""
    return bool(leaf.branch) and not leaf.norm and leaf.kind != "rope"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
