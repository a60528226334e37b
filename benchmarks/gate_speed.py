"""Time and memory of the gate, and the time of `scipy.stats.bootstrap` on the same scores.

Each measurement runs in a fresh process, alone; times are the best of five.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from scipy import stats

from benchmarks.peers import BCA, PERCENTILE
from benchmarks.populations import ALPHA, Scores, binary, ndcg, rubric
from benchmarks.report import Row
from pytest_modellab.gate import compare, decide

T = TypeVar("T")

RESAMPLES = 9_999
_ROUNDS = 5
_KINDS = {"binary": binary(0.1), "rubric": rubric(), "continuous": ndcg()}


def rows(seed: int) -> Iterator[Row]:
    """The rows of the table."""
    for buckets, n, limit in ((40, 5000, 0.05), (1000, 1000, 2.0)):
        for kind in _KINDS:
            decided, compared = _alone(seconds, kind, buckets, n, seed)
            size = f"{buckets} buckets of {n}, {kind}"
            yield Row(
                label=f"decide, {size}",
                value=decided,
                measured=f"{decided:.3f} s",
                required=f"<= {limit:g} s",
                held=decided <= limit,
            )
            yield Row(label=f"compare, {size}", value=compared, measured=f"{compared:.3f} s")
    for kind in _KINDS:
        before, peak = _alone(memory, kind, 1000, 1000, seed)
        yield Row(
            label=f"peak memory of compare, 1000 buckets of 1000, {kind}",
            value=peak,
            measured=f"{peak:.2f} GB ({before:.2f} GB before the call)",
            required="<= 1 GB",
            held=peak <= 1.0,
        )
    for buckets, n in ((1, 500), (8, 50)):
        taken = _alone(against_scipy, buckets, n, seed)
        size = f"{buckets} buckets of {n}" if buckets > 1 else f"n = {n}"
        for call in ("decide", "compare"):
            yield Row(
                label=f"{call}, {size}, binary",
                value=taken[call],
                measured=f"{1e3 * taken[call]:.2f} ms",
                peers={
                    name: f"{1e3 * taken[name]:.0f} ms, {taken[name] / taken[call]:.0f} x"
                    for name in (PERCENTILE, BCA)
                },
            )


def seconds(kind: str, buckets: int, n: int, seed: int) -> list[float]:
    """Times of `decide` and of `compare`, labels included."""
    (before, after), labels = _scores(kind, buckets, n, seed)
    return _best(*(partial(call, before, after, labels) for call in (decide, compare)))


def memory(kind: str, buckets: int, n: int, seed: int) -> tuple[float, float]:
    """Largest resident memory of this process before and after a call of `compare`, in GB."""
    (before, after), labels = _scores(kind, buckets, n, seed)
    start = _peak()
    compare(before, after, labels)
    return start, _peak()


def against_scipy(buckets: int, n: int, seed: int) -> dict[str, float]:
    """Times on the same scores; scipy judges all samples, and every bucket where there are any."""
    (before, after), names = _scores("binary", buckets, n, seed)
    labels = names if buckets > 1 else None
    differences = after - before
    parts = [differences]
    if buckets > 1:
        parts += [differences[k::buckets] for k in range(buckets)]

    def bootstrap(method: str) -> None:
        for part in parts:
            stats.bootstrap(
                (part,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=1.0 - 2.0 * ALPHA,
                method=method,
                random_state=np.random.default_rng(seed),
            )

    calls: dict[str, Callable[[], object]] = {
        "decide": partial(decide, before, after, labels),
        "compare": partial(compare, before, after, labels),
        PERCENTILE: partial(bootstrap, "percentile"),
        BCA: partial(bootstrap, "BCa"),
    }
    return dict(zip(calls, _best(*calls.values()), strict=True))


def _scores(kind: str, buckets: int, n: int, seed: int) -> tuple[Scores, list[str]]:
    """Scores and bucket labels; the buckets take turns."""
    total = buckets * n
    before, after = _KINDS[kind](np.random.default_rng(seed), (1, total))
    return (before[0], after[0]), [f"bucket {i % buckets}" for i in range(total)]


def _best(*calls: Callable[[], object]) -> list[float]:
    """The shortest time of each call, the calls taking turns."""
    found = []
    for _ in range(_ROUNDS):
        times = [time.perf_counter()]
        for call in calls:
            call()
            times.append(time.perf_counter())
        found.append(np.diff(times))
    return np.min(found, axis=0).tolist()  # type: ignore[no-any-return]


def _peak() -> float:
    """Largest resident memory so far, in GB; the kernel counts kilobytes, macOS bytes."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _alone(call: Callable[..., T], *args: object) -> T:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(call, *args).result()
