"""Whether the key-value cache gives back what it was given, and what is lost behind it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from pytest_modellab.errors import OutOfTime
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Finding, Lines, Picture, Series
from pytest_modellab.visible import line, raised

FLOOR = 1e-3
"""Nats a token behind the cache below which nothing is said."""

WINDOWS = 4
"""Windows that are run, at most."""

STEPS = 4
"""Tokens at a window's end that are computed one by one, as a reply is written."""

_OWN = 1e-3
"""Relative error from which a cache does not give back what it was given, in float32."""

Windows = Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Cached:
    """A model's answers through its cache, beside those without.

    Attributes:
        damage: ``mean KL(uncached || cached)`` over the second halves; infinite where the cached
            answers are not finite.
        by_position: the same by position behind the half.
        keys: by layer, how far what the cache returned is from what it was given, relative.
        values: the same.
        moved: how far keys that were given to the first layer behind the half are from those
            without a cache, relative: wrong positions, and nothing else, show there. Not asked,
            and 0, where nothing is damaged.
        relative: largest relative difference of the logits at a position.
        error: why nothing came through the cache, or empty.
        missing: whether that is a library that is not installed, which is nobody's fault.
    """

    damage: float = 0.0
    by_position: tuple[float, ...] = ()
    keys: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    moved: float = 0.0
    relative: float = 0.0
    error: str = ""
    missing: bool = False


@dataclasses.dataclass(frozen=True)
class CacheResult:
    """What is said of a candidate's cache.

    Attributes:
        findings: one of ``kv_cache``, or none.
        damage: nats a token behind the cache.
        layer: the first whose keys or values stand out, or None.
        picture: ``kv_cache``, where there is a finding or a cache of its own kind.
        notes: what could not be said.
    """

    findings: tuple[Finding, ...] = ()
    damage: float = 0.0
    layer: int | None = None
    picture: Picture | None = None
    notes: tuple[str, ...] = ()

    def weight(self, damage: float) -> float:
        """Return the share of all the damage that the cache has.

        Args:
            damage: nats a token of the candidate without a cache.
        """
        if not self.findings:
            return 0.0
        return self.damage / max(damage, self.damage) if math.isfinite(self.damage) else 1.0


def examine(base: Subject, candidate: Subject, windows: Windows) -> CacheResult:
    """Compare a candidate's answers through its cache with those without.

    Args:
        base: asked only where the candidate's cache costs something: what the base's costs, too,
            is no finding.
        candidate: what is examined.
        windows: token ids; the first four of one width.

    Returns:
        What is said of it.
    """
    found = through(candidate, windows)
    own_kind = candidate.cache is not None
    if found.missing:
        return CacheResult(notes=(f"the cache was not examined: {found.error}",))
    if not found.error and found.damage <= FLOOR:
        return CacheResult(damage=found.damage, picture=_picture(found, None) if own_kind else None)
    ours = through(base, windows)
    if ours.error or ours.damage > max(FLOOR, 0.5 * found.damage):
        said = ours.error or f"it costs {ours.damage:.3g} nats a token there"
        note = line(f"the cache was not judged, since the base's is no yardstick: {said}", 400)
        return CacheResult(damage=found.damage, picture=_picture(found, None), notes=(note,))
    layer = _layer(found)
    return CacheResult(
        findings=(_finding(found, layer, candidate),),
        damage=math.inf if found.error else found.damage,
        layer=layer,
        picture=_picture(found, layer),
    )


def through(subject: Subject, windows: Windows) -> Cached:
    """Run windows in two halves through a cache, the last tokens one by one.

    Args:
        subject: the model, with its kind of cache.
        windows: token ids.
    """
    import torch

    chosen = [one for one in windows if len(one) == len(windows[0])][:WINDOWS]
    if not chosen or len(chosen[0]) < 2 * STEPS + 2:
        return Cached()
    ids = torch.tensor([list(one) for one in chosen], device=subject.model.device)
    half = ids.shape[1] // 2
    with torch.no_grad():
        try:
            plain = subject.model(input_ids=ids, use_cache=False).logits[:, half:].float()
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            return Cached(error=f"it cannot be asked without a cache: {line(str(error), 200)}")
        make = subject.cache or _usual
        try:
            recorder = _Recorder(make(subject.model.config))
            cached = _cached_logits(subject.model, ids, half, recorder.cache).float()
        except OutOfTime:
            raise
        except Exception as error:  # noqa: BLE001 - a cache of others may raise anything
            return Cached(error=raised(error), missing=isinstance(error, ImportError))
    p, q = torch.log_softmax(plain, dim=-1), torch.log_softmax(cached, dim=-1)
    by_position = (p.exp() * (p - q)).sum(-1).mean(0)
    damage = float(by_position.mean())
    keys, values = recorder.errors()
    middle = plain.mean(-1, keepdim=True)
    relative = (cached - plain).norm(dim=-1) / (plain - middle).norm(dim=-1).clamp_min(1e-9)
    return Cached(
        damage=max(damage, 0.0) if math.isfinite(damage) else math.inf,
        by_position=tuple(float(one) for one in by_position),
        keys=keys,
        values=values,
        moved=0.0 if damage <= FLOOR else _moved(subject.model, ids, half, recorder),
        relative=_bounded(float(relative.max())),
    )


def _moved(model: Any, ids: Any, half: int, recorder: _Recorder) -> float:
    """How far new keys of the first layer are off, where all are known that there should be."""
    import torch

    usual = _Recorder(_usual(model.config))
    try:
        with torch.no_grad():
            model(input_ids=ids, past_key_values=usual.cache, use_cache=True)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return 0.0
    return recorder.moved(usual, half)


def _usual(config: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=config)


def _cached_logits(model: Any, ids: Any, half: int, cache: Any) -> Any:
    """The logits of the second half: some tokens together, the last ones one by one."""
    import torch

    width = ids.shape[1]
    ends = [half, width - STEPS, *range(width - STEPS + 1, width + 1)]
    found = []
    for start, end in zip([0, *ends], ends, strict=False):
        part = ids[:, start:end]
        found.append(model(input_ids=part, past_key_values=cache, use_cache=True).logits)
    return torch.cat(found[1:], dim=1)


class _Recorder:
    """Keeps what a cache is given and what it returns, layer by layer."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self._given: dict[int, list[tuple[Any, Any]]] = {}
        self._returned: dict[int, tuple[Any, Any]] = {}
        update = getattr(cache, "update", None)
        if update is not None:
            cache.update = self._recording(update)

    def _recording(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(keys: Any, values: Any, layer: int, *args: Any, **named: Any) -> Any:
            given = (keys.detach().float().clone(), values.detach().float().clone())
            returned = update(keys, values, layer, *args, **named)
            self._given.setdefault(layer, []).append(given)
            self._returned[layer] = (returned[0].detach().float(), returned[1].detach().float())
            return returned

        return recorded

    def _whole(self, layer: int, side: int) -> Any:
        import torch

        return torch.cat([one[side] for one in self._given[layer]], dim=-2)

    def errors(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """By layer, how far the keys and values returned last are from all that were given."""
        layers = sorted(self._returned)
        both = [
            tuple(_apart(self._returned[layer][side], self._whole(layer, side)) for layer in layers)
            for side in (0, 1)
        ]
        return both[0], both[1]

    def moved(self, usual: _Recorder, half: int) -> float:
        """How far the first layer's keys behind the half are from those without a cache."""
        if not self._given or not usual._given:
            return 0.0
        layer = min(self._given)
        ours, theirs = self._whole(layer, 0), usual._whole(layer, 0)
        return _apart(ours[..., half:, :], theirs[..., half:, :])


def _apart(found: Any, whole: Any) -> float:
    """The relative distance of the newest tokens that both hold; a window may hold fewer."""
    if found.dim() != whole.dim() or found.shape[:-2] != whole.shape[:-2]:
        return 1.0
    most = min(found.shape[-2], whole.shape[-2])
    if found.shape[-1] != whole.shape[-1] or not most:
        return 1.0
    reference = whole[..., -most:, :]
    distance = (found[..., -most:, :] - reference).norm() / reference.norm().clamp_min(1e-12)
    return _bounded(float(distance))


def _bounded(value: float) -> float:
    return min(value, 1e6) if math.isfinite(value) else 1e6


def _layer(found: Cached) -> int | None:
    """The first layer whose keys or values stand out, of layers that do not all err alike."""
    errors = [max(pair) for pair in zip(found.keys, found.values, strict=True)]
    if not errors or max(errors) <= _OWN:
        return None
    usual = _OWN if min(errors) <= _OWN else sorted(errors)[len(errors) // 2]
    return next((i for i, one in enumerate(errors) if one > 3 * usual), None)


def _finding(found: Cached, layer: int | None, candidate: Subject) -> Finding:
    if found.error:
        return Finding(
            "kv_cache",
            "kv_cache",
            f"the model cannot run through its cache: {found.error}",
            likely="the cache does not fit the model: check its settings and the library's version",
        )
    largest = max((*found.keys, *found.values), default=0.0)
    costs = "answers behind the cache are not finite"
    if math.isfinite(found.damage):
        costs = f"answers behind the cache differ by {found.damage:.3g} nats a token"
    declared = candidate.plan.quantization if candidate.plan else {}
    if layer is not None:
        keys, values = found.keys[layer], found.values[layer]
        what = f"layer {layer} gives its keys back {keys:.1%} off and its values {values:.1%} off"
        likely = f"the cache of layer {layer} is written or read wrongly"
    elif largest > _OWN:
        what = f"every layer gives keys or values back up to {largest:.1%} off"
        likely = "the cache holds too few bits: take more bits, or smaller groups"
    elif found.moved > _OWN:
        what = (
            "the cache gives back what it was given, but the first layer's new keys are "
            f"{found.moved:.1%} off"
        )
        likely = "new tokens get wrong positions: check how positions are counted behind a cache"
    else:
        what = "the cache gives back what it was given"
        likely = "the mask behind the cache is wrong: check what a new token may see"
    if declared.get("method") == "kv-cache":
        settings = ("bits", "group_size", "residual_length")
        said = ", ".join(f"{key} = {declared[key]}" for key in settings if key in declared)
        likely = (
            f"declared with {said}: take more bits, smaller groups, or a longer residual_length"
        )
    return Finding(
        "kv_cache",
        "kv_cache",
        f"{costs}; {what}",
        nats=found.damage if math.isfinite(found.damage) else None,
        likely=likely,
        evidence={
            "largest_error_of_keys": round(max(found.keys, default=0.0), 6),
            "largest_error_of_values": round(max(found.values, default=0.0), 6),
            "new_keys_off": round(found.moved, 6),
            **({} if layer is None else {"layer": layer}),
        },
    )


def _picture(found: Cached, layer: int | None) -> Picture | None:
    if found.error or not found.by_position:
        return None
    panels = []
    if found.keys:
        panels.append(
            Lines(
                x=tuple(str(one) for one in range(len(found.keys))),
                series=(Series("keys", _shown(found.keys)), Series("values", _shown(found.values))),
                x_name="layer",
                unit="relative error of what the cache gives back",
                title="Keys and values",
                framed=() if layer is None else (layer,),
            )
        )
    panels.append(
        Lines(
            x=tuple(str(one) for one in range(1, len(found.by_position) + 1)),
            series=(Series("KL", _shown(found.by_position)),),
            x_name="tokens behind the cache",
            unit="nats",
            title="Answers",
        )
    )
    largest = max((*found.keys, *found.values), default=0.0)
    where = "" if layer is None else f", most from layer {layer} on"
    sentence = (
        f"The cache gives keys and values back {largest:.2%} off at most{where}; answers behind it "
        f"differ by {found.damage:.2g} nats a token."
    )
    return Picture("kv_cache", "Key-value cache", sentence, tuple(panels))


def _shown(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(round(one, 6) if math.isfinite(one) else None for one in values)
