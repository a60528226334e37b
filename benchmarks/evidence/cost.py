"""What the graded metrics cost: seconds and memory of a million samples, beside what others do.

Each runs in a process of its own, so that its peak memory is its own.

    python -m benchmarks.evidence.cost WAY SAMPLES
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

WAYS = ("graded", "loop", "scipy", "numpy")
"""Ours; the same by numpy a sample, as lm-evaluation-harness scores one; by scipy a sample; and
all samples as one array, which nothing but a matrix can be."""

OPTIONS = ("Paris", "the Rhône", "Lyon", "nowhere at all")

BLOCK = 10_000
"""Samples that are held at a time."""


def measure(way: str, samples: int) -> dict[str, float]:
    """Run one way in a process of its own: processor seconds, and bytes at the peak."""
    command = [sys.executable, "-m", __name__, way, str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _blocks(samples: int) -> Iterator[list[tuple[float, ...]]]:
    import numpy as np

    rng = np.random.default_rng(1)
    for start in range(0, samples, BLOCK):
        drawn = -40.0 * rng.random((min(BLOCK, samples - start), len(OPTIONS)))
        yield [tuple(row) for row in drawn.tolist()]


def _graded(samples: int) -> float:
    from pytest_modellab.records.runs import Output
    from pytest_modellab.records.tasks import Sample
    from pytest_modellab.scorers.graded import graded

    sample = Sample("1", "Which?", 2, "choice", "capitals", "easy", OPTIONS)
    spent = 0.0
    for block in _blocks(samples):
        outputs = [Output(text="", option_logprobs=values) for values in block]
        start = time.process_time()
        for output in outputs:
            graded(sample, output)
        spent += time.process_time() - start
    return spent


def _each(score: Callable[[tuple[float, ...]], object]) -> Callable[[int], float]:
    def run(samples: int) -> float:
        spent = 0.0
        for block in _blocks(samples):
            start = time.process_time()
            for values in block:
                score(values)
            spent += time.process_time() - start
        return spent

    return run


def _by_numpy(values: tuple[float, ...]) -> object:
    """As lm-evaluation-harness 0.4 scores one multiple choice, with its softmax."""
    import numpy as np

    lengths = np.array([len(option.encode()) for option in OPTIONS])
    lls = np.array(values)
    pred, norm = np.argmax(lls), np.argmax(lls / lengths)
    e = np.exp(lls - np.max(lls))
    return pred, norm, (e / e.sum())[2], lls[2] / lengths[2]


def _by_scipy(values: tuple[float, ...]) -> object:
    from scipy.special import softmax

    return softmax(values)[2]


def _at_once(samples: int) -> float:
    import numpy as np

    whole = np.concatenate([np.array(block) for block in _blocks(samples)])
    lengths = np.array([len(option.encode()) for option in OPTIONS])
    start = time.process_time()
    e = np.exp(whole - whole.max(axis=1, keepdims=True))
    probability = e[:, 2] / e.sum(axis=1)
    likelihood = np.exp(whole[:, 2] / lengths[2])
    spent = time.process_time() - start
    assert probability.size == likelihood.size == samples
    return spent


def main() -> int:
    way, samples = sys.argv[1], int(sys.argv[2])
    run = {
        "graded": _graded,
        "loop": _each(_by_numpy),
        "scipy": _each(_by_scipy),
        "numpy": _at_once,
    }[way]
    run(BLOCK)  # imports and caches
    seconds = run(samples)
    print(json.dumps({"seconds": seconds, "bytes": _peak()}))
    return 0


def _peak() -> int:
    """Bytes at the peak; what `getrusage` tells may be the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status does not tell the peak: measure it on Linux")


if __name__ == "__main__":
    sys.exit(main())
