"""Latency, cost and memory of each variant, and draws of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_modellab.records.declared import Price
from pytest_modellab.records.timings import Rows, Timings
from pytest_modellab.tradeoff import cost, resample
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import (
    BreakEven,
    CostFigures,
    Estimate,
    LatencyFigures,
    MemoryFigures,
    Profile,
)
from pytest_modellab.tradeoff.resample import estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Pace:
    """A variant's timings on a machine that was equally fast all the time.

    Attributes:
        timings: its seconds, multiplied by the drift; the reference's of all sessions.
        drift: what was measured last was multiplied by this.
    """

    timings: Timings
    drift: float


def paces(entries: Sequence[Entry], reference: int) -> list[Pace | None]:
    """Take the machine's changes out of the seconds.

    The reference is measured anew beside every variant. Each session's seconds are multiplied so
    that the reference's median to the last token is the median of all sessions; the reference has
    the rounds of all of them.

    Args:
        entries: the variants.
        reference: the reference's index.

    Returns:
        One a variant, None where it was not measured.
    """
    measured = [e.performance for e in entries]
    levels = [None if one is None else _level(one.reference or one.candidate) for one in measured]
    centre = statistics.median([level for level in levels if level is not None] or [1.0])
    drifts = [1.0 if level is None else centre / level for level in levels]
    found = [
        None if one is None else Pace(_scaled(one.candidate, drift), drift)
        for one, drift in zip(measured, drifts, strict=True)
    ]
    own = found[reference]
    if own is not None:
        beside = [
            _scaled(one.reference, drift)
            for one, drift in zip(measured, drifts, strict=True)
            if one is not None and one.reference is not None
        ]
        found[reference] = Pace(_joined([own.timings, *beside]), own.drift)
    return found


def _level(timings: Timings) -> float:
    return statistics.median(seconds for row in timings.end_to_end for seconds in row)


def _scaled(timings: Timings, factor: float) -> Timings:
    def scale(rows: Rows) -> Rows:
        return tuple(tuple(factor * seconds for seconds in row) for row in rows)

    return dataclasses.replace(
        timings,
        first_token=scale(timings.first_token),
        end_to_end=scale(timings.end_to_end),
        loaded=scale(timings.loaded),
    )


def _joined(sessions: Sequence[Timings]) -> Timings:
    """The rounds of several sessions that asked the same prompts; of others the first's alone."""
    first = sessions[0]
    same = [
        t
        for t in sessions
        if (t.groups, t.tokens_in, t.tokens_out)
        == (first.groups, first.tokens_in, first.tokens_out)
    ]
    return dataclasses.replace(
        first,
        first_token=tuple(row for t in same for row in t.first_token),
        end_to_end=tuple(row for t in same for row in t.end_to_end),
        loaded=tuple(row for t in same for row in t.loaded),
    )


def draw_latency(pace: Pace | None, stream: int, resamples: int, seed: int) -> Draws | None:
    """Draw the median and the 95th percentile to the last token, in seconds.

    Args:
        pace: the variant's timings, or None.
        stream: the variant's number.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        Of shape (2, resamples), or None where it was not measured.
    """
    import numpy as np

    if pace is None:
        return None
    seconds = np.asarray(pace.timings.end_to_end)
    return resample.quantiles(seconds, (0.5, 0.95), resamples=resamples, seed=seed, stream=stream)


def draw_serving(
    price: Price | None, pace: Pace | None, stream: int, resamples: int, seed: int
) -> tuple[float, Draws] | None:
    """Dollars for 1,000 requests, and draws of them; arguments as :func:`draw_latency`."""
    import numpy as np

    if pace is None or price is None:
        return None
    timings = pace.timings
    rounds = np.asarray(timings.loaded).sum(axis=1) / sum(timings.groups)
    asked = {
        "tokens_in": _mean(timings.tokens_in),
        "tokens_out": _mean(timings.tokens_out),
        "audio_seconds": _mean(timings.audio_seconds or (0.0,)),
        "images": _mean(timings.images or (0,)),
    }
    value = cost.serving(price, seconds=float(rounds.mean()), **asked)
    if price.usd_per_hour is None:  # an endpoint's price does not depend on time
        return value, np.full(resamples, value)
    seconds = resample.means(rounds, resamples=resamples, seed=seed, stream=stream)
    return value, cost.serving(price, seconds=1.0, **asked) * seconds


def draw_real_time(
    pace: Pace | None, stream: int, resamples: int, seed: int
) -> tuple[float, Draws] | None:
    """Seconds of computing a second of audio, one request at a time, and draws of them.

    Arguments as :func:`draw_latency`; None where nothing was heard.
    """
    import numpy as np

    if pace is None or not pace.timings.audio_seconds:
        return None
    heard = np.asarray(pace.timings.audio_seconds) > 0
    spent = np.asarray(pace.timings.end_to_end)[:, heard].sum(axis=1)
    rounds = spent / math.fsum(pace.timings.audio_seconds)
    drawn = resample.means(rounds, resamples=resamples, seed=seed, stream=stream)
    return float(rounds.mean()), drawn


def latency(
    pace: Pace | None, draws: Draws | None, real_time: tuple[float, Draws] | None = None
) -> LatencyFigures | None:
    """Every figure of latency, in seconds."""
    import numpy as np

    if pace is None or draws is None:
        return None
    timings = pace.timings
    end, first = np.asarray(timings.end_to_end), np.asarray(timings.first_token)
    loaded = np.asarray(timings.loaded)
    later = np.asarray(timings.tokens_out) - 1
    streams = any(timings.tokens_out) and timings.first_token != timings.end_to_end
    per_token = (end - first)[:, later > 0] / later[later > 0]
    each = np.repeat(loaded, timings.groups, axis=1)  # all of a group wait for its last token
    p50, p95, p99 = (float(np.quantile(end, q)) for q in (0.5, 0.95, 0.99))
    loaded_p50, loaded_p95, loaded_p99 = (float(np.quantile(each, q)) for q in (0.5, 0.95, 0.99))
    return LatencyFigures(
        first_token=float(np.median(first)) if streams else None,
        per_token=float(np.median(per_token)) if streams and per_token.size else None,
        p50=estimate(p50, draws[0]),
        p95=estimate(p95, draws[1]),
        p99=p99,
        concurrency=max(timings.groups),
        loaded_p50=loaded_p50,
        loaded_p95=loaded_p95,
        loaded_p99=loaded_p99,
        requests_per_second=float(sum(timings.groups) / loaded.sum(axis=1).mean()),
        prompts=end.shape[1],
        rounds=end.shape[0],
        drift=pace.drift,
        real_time_factor=None if real_time is None else estimate(*real_time),
    )


def cost_figures(entry: Entry, serving: tuple[float, Draws] | None) -> CostFigures | None:
    """What requests and training cost, in dollars."""
    if entry.performance is None or entry.price is None or serving is None:
        return None
    timings = entry.performance.candidate
    heard = math.fsum(timings.audio_seconds) / cost.MINUTE / len(timings.tokens_in)
    seen = sum(timings.images) / len(timings.tokens_in)
    return CostFigures(
        price=entry.price.name,
        serving=estimate(*serving),
        training=entry.training_usd,
        tokens_in=_mean(timings.tokens_in),
        tokens_out=_mean(timings.tokens_out),
        minute_of_audio=_for_each(serving, heard),
        image=_for_each(serving, seen),
    )


def of_media(
    real_time: tuple[float, Draws] | None, entry: Entry, serving: tuple[float, Draws] | None
) -> dict[str, float]:
    """Return what a second of audio and an image took and cost, by the names that probes have.

    Measured in turns with the reference; they take the place of what the run itself took.
    """
    found = {} if real_time is None else {"real_time_factor": real_time[0]}
    costs = cost_figures(entry, serving)
    if costs is not None and costs.minute_of_audio is not None:
        found["usd_per_minute_audio"] = costs.minute_of_audio.value
    if costs is not None and costs.image is not None:
        found["usd_per_image"] = costs.image.value
    return found


def _for_each(serving: tuple[float, Draws], amount: float) -> Estimate | None:
    """Dollars of one of what a request holds so many of; None where it holds none."""
    if not amount:
        return None
    value, draws = serving
    return estimate(value / cost.REQUESTS / amount, draws / cost.REQUESTS / amount)


def memory(entry: Entry) -> MemoryFigures | None:
    """What the variant takes in memory and on disk, in bytes."""
    held = entry.record.probes.get("parameter_bytes")
    if held is None:
        return None
    peaks = {} if entry.performance is None else entry.performance.memory
    return MemoryFigures(
        held=held,
        disk=entry.disk_bytes,
        peak_host=peaks.get("peak_host_bytes"),
        peak_device=peaks.get("peak_device_bytes"),
    )


def break_even(profiles: Sequence[Profile], reference: str) -> list[BreakEven]:
    """Where each variant and the reference have cost the same."""
    base = next(p for p in profiles if p.variant == reference)
    found = []
    for profile in profiles:
        pair = (profile.cost, base.cost)
        if profile is base or pair[0] is None or pair[1] is None:
            continue
        a, b = pair[0], pair[1]
        if a.training is None or b.training is None:
            continue
        requests = cost.break_even(a.serving.value, a.training, b.serving.value, b.training)
        if requests is not None:
            cheaper, dearer = profile.variant, reference
            if a.serving.value > b.serving.value:
                cheaper, dearer = dearer, cheaper
            found.append(BreakEven(cheaper, dearer, requests))
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
