"""Measure a Ray cluster's efficiency with an engine that waits, and what the store costs a sample.

    python -m benchmarks.cluster [--samples N] [--seconds S] [--store N]

A variant's samples take so many seconds each and no computing, so that what is lost is the
cluster's: handing out shards, and bringing answers home. Efficiency is the time of all waiting,
divided by the workers and the time that it took from the first shard on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.lab.cluster import Cluster, Needs
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.shards import spans

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

from waiting import Waiting, job


def _opened(source: Source) -> Engine:
    return source.open(Path())


def efficiency(workers: int, samples: int, seconds: float) -> tuple[float, float]:
    """Run eight variants; returns seconds in all, and from the first arrival's begin on."""
    at = f"{workers}-{time.time():.0f}"  # the workers have a store of their own
    jobs = [job(f"{at}-{k}", samples, Waiting(seconds)) for k in range(8)]
    arrived: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        on = Cluster("ray", workers, Needs(cpus=0.4))
        begun = time.perf_counter()
        on.obtain(
            jobs,
            InProcess(Path(folder), _opened),
            lambda *told: print(told[1]) if isinstance(told[1], Exception) else None,
            lambda one: one.spec.name,
            lambda far: arrived.append(time.perf_counter()) if far.done else None,
        )
        ended = time.perf_counter()
        on.close()
    shard = seconds * len(spans(jobs[0])[0])
    return ended - begun, ended - (arrived[0] - shard)


def store(samples: int) -> tuple[float, float, int]:
    """Put a run into the store and read it again; returns seconds of both, and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        one = job("v", samples, Waiting())
        here = InProcess(Path(folder), _opened)
        begun = time.perf_counter()
        here.obtain(one)
        made = time.perf_counter()
        assert here.recall(one) is not None
        read = time.perf_counter()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.json"))
    return made - begun, read - made, size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1024, help="of each of eight variants")
    parser.add_argument("--seconds", type=float, default=0.005, help="that a sample waits")
    parser.add_argument("--store", type=int, default=1_000_000, help="samples of the largest run")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # where workers find all this
    waiting = 8 * options.samples * options.seconds
    for workers in (1, 2, 4):
        whole, working = efficiency(workers, options.samples, options.seconds)
        share = waiting / (workers * working)
        print(
            f"{workers} workers: {whole:.1f} s in all, {working:.1f} s from the first shard on; "
            f"{waiting:.1f} s of waiting, efficiency {share:.2f}",
            flush=True,
        )
    for samples in (options.store // 100, options.store // 10, options.store):
        made, read, size = store(samples)
        print(
            f"{samples:,} samples through the store: made {made:.1f} s, read {read:.1f} s, "
            f"{size / 1e6:.0f} MB; {1e6 * made / samples:.0f} and {1e6 * read / samples:.0f} us "
            "a sample",
            flush=True,
        )


if __name__ == "__main__":
    main()
