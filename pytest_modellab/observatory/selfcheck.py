"""What a model must hold by itself, without a base: four ways to ask the same thing twice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import OutOfTime
from pytest_modellab.observatory import cache
from pytest_modellab.observatory.cache import Windows
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Finding
from pytest_modellab.visible import raised

TOLERANCE: Mapping[str, float] = MappingProxyType(
    {"float64": 1e-3, "float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}
)
"""dtype → largest relative difference of a position's logits that is rounding."""

_PADDING = 5
"""Tokens of padding on the left."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One check of a model against itself.

    Attributes:
        name: short and fixed.
        site: what it names where it fails.
        fault: the class then.
        relative: largest relative difference of the logits at a position, or None where the check
            could not be made.
        nats: a token, ``mean KL`` of the two ways.
        tolerance: of ``relative``.
        said: what was compared, in words, or why it could not be.
    """

    name: str
    site: str
    fault: str
    relative: float | None
    nats: float
    tolerance: float
    said: str

    @property
    def failed(self) -> bool:
        """Whether the two ways give different answers."""
        return self.relative is not None and self.relative > self.tolerance


@dataclasses.dataclass(frozen=True)
class Checks:
    """All self-checks of a model."""

    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A finding for each check that failed, the most expensive first."""
        failed = sorted((one for one in self.checks if one.failed), key=lambda one: -one.nats)
        return tuple(
            Finding(
                site=one.site,
                fault=one.fault,
                detail=f"{one.said}: the model differs from itself by {one.nats:.3g} nats a token "
                f"({one.relative:.2g} of a position's logits, {one.tolerance:g} is rounding)",
                nats=one.nats,
                likely=_LIKELY[one.name],
                evidence={"check": one.name, "relative": round(one.relative or 0.0, 6)},
            )
            for one in failed
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be checked, and why."""
        return tuple(
            f"self-check {one.name!r} was not made: {one.said}"
            for one in self.checks
            if one.relative is None
        )


_LIKELY: Mapping[str, str] = MappingProxyType(
    {
        "cached": "positions, mask or contents of the cache are wrong: replies are written by it",
        "padded": "padding is seen, or shifts positions: scores depend on the batch",
        "causal": "the mask shows what comes later: likelihoods are too good, and replies worse",
        "batched": "rows of a batch influence each other, or scales are taken over all of them",
    }
)


def check(subject: Subject, windows: Windows, *, cached: bool = True) -> Checks:
    """Ask a model the same thing in two ways, four times.

    Args:
        subject: the model.
        windows: token ids; the first four of one width.
        cached: whether its cache is looked at, too.

    Returns:
        The checks: through the cache as without, padded on the left as without, a changed last
        token that leaves earlier answers alone, and a row alone as in a batch.
    """
    import torch

    chosen = [one for one in windows if len(one) == len(windows[0])][: cache.WINDOWS]
    if not chosen or len(chosen[0]) < 2 * cache.STEPS + 2:
        return Checks(())
    model = subject.model
    ids = torch.tensor([list(one) for one in chosen], device=model.device)
    dtype = str(model.dtype).removeprefix("torch.")
    tolerance = TOLERANCE.get(dtype, 0.1)
    with torch.no_grad():
        plain = model(input_ids=ids, use_cache=False).logits.float()
        return Checks(
            (
                *([_cached(subject, windows, tolerance)] if cached else []),
                _compared(
                    "padded", "attention_mask", "code", tolerance, _padded, model, ids, plain
                ),
                _compared(
                    "causal", "attention_mask", "not_causal", tolerance, _causal, model, ids, plain
                ),
                _compared("batched", "batching", "code", tolerance, _batched, model, ids, plain),
            )
        )


def against(base: Subject, candidate: Subject, windows: Windows) -> Checks:
    """Check a candidate against itself, and leave out what its base fails as well.

    Caches are left to :func:`.cache.examine`.

    Args:
        base: asked only where the candidate fails.
        candidate: what is examined.
        windows: token ids; the first four of one width.

    Returns:
        The candidate's checks.
    """
    found = check(candidate, windows, cached=False)
    if not found.findings:
        return found
    usual = {one.name for one in check(base, windows, cached=False).checks if one.failed}
    return Checks(tuple(one for one in found.checks if not one.failed or one.name not in usual))


def _cached(subject: Subject, windows: Windows, tolerance: float) -> Check:
    found = cache.through(subject, windows)
    said = found.error or "through the cache and without"
    relative = None if found.error else found.relative
    if subject.cache is not None:
        relative, said = None, "the cache is of its own kind, and judged by itself"
    nats = found.damage if math.isfinite(found.damage) else 1e6
    return Check("cached", "kv_cache", "kv_cache", relative, nats, tolerance, said)


Asked = tuple[Any, Any, str]
"""Logits of the one way, of the other, and what was done, in words."""


def _compared(
    name: str,
    site: str,
    fault: str,
    tolerance: float,
    ask: Callable[[Any, Any, Any], Asked],
    model: Any,
    ids: Any,
    plain: Any,
) -> Check:
    try:
        reference, found, said = ask(model, ids, plain)
    except OutOfTime:
        raise
    except Exception as error:  # noqa: BLE001 - code of others may raise anything
        return Check(name, site, fault, None, 0.0, tolerance, raised(error))
    relative, nats = _difference(reference, found)
    return Check(name, site, fault, relative, nats, tolerance, said)


def _difference(reference: Any, found: Any) -> tuple[float, float]:
    import torch

    size = (reference - reference.mean(-1, keepdim=True)).norm(dim=-1).clamp_min(1e-9)
    relative = float(((found - reference).norm(dim=-1) / size).max())
    p, q = torch.log_softmax(reference, dim=-1), torch.log_softmax(found, dim=-1)
    nats = float((p.exp() * (p - q)).sum(-1).mean())
    if not math.isfinite(relative) or not math.isfinite(nats):
        return 1e6, 1e6
    return relative, max(nats, 0.0)


def _padded(model: Any, ids: Any, plain: Any) -> Asked:
    import torch

    if not _pads(model):
        raise NotImplementedError("it keeps a state that takes up the padding")
    rows, width = ids.shape
    row = torch.cat([ids[:1, :1].expand(1, _PADDING), ids[:1]], dim=1)
    other = ids[1:2] if rows > 1 else ids[:1]
    full = torch.cat([other, other[:, :_PADDING]], dim=1)
    mask = torch.ones(2, width + _PADDING, dtype=torch.long, device=ids.device)
    mask[0, :_PADDING] = 0
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    logits = model(
        input_ids=torch.cat([row, full]),
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
    ).logits.float()
    return plain[:1], logits[:1, _PADDING:], f"with {_PADDING} tokens of padding on the left"


def _pads(model: Any) -> bool:
    from pytest_modellab.engines.language.reach import reach

    return reach(model.config) > 0


def _causal(model: Any, ids: Any, plain: Any) -> Asked:
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % plain.shape[-1]
    logits = model(input_ids=changed, use_cache=False).logits.float()
    return plain[:, :-1], logits[:, :-1], "with another last token, at the places before it"


def _batched(model: Any, ids: Any, plain: Any) -> Asked:
    alone = model(input_ids=ids[-1:], use_cache=False).logits.float()
    return plain[-1:], alone, "a row alone and in a batch"
