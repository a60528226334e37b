"""Is the stated probability right? `python -m benchmarks.decision`.

Variants with known true success, latency, cost, memory and worst bucket are drawn, a task set and
timings are simulated from them, and `decision.decide` says which variant is best and in what share
of the resamples. Over many repetitions the variant that is recommended should truly be the best as
often as its share says. Four worlds: variants that differ much, about as much as the noise, and
hardly; and hardly but for one that lies far below. Two scenarios: with the risk weighed, and
without. The last table takes all of them together.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pytest_modellab.records.declared import Scenario
from pytest_modellab.tradeoff import decision, resample
from pytest_modellab.tradeoff.decision import Metrics
from pytest_modellab.tradeoff.risk import WEIGHTS

Floats = NDArray[np.float64]

VARIANTS, SAMPLES, BUCKETS = 5, 480, 12
PROMPTS, ROUNDS = 6, 5
EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.001)
WORLDS = {"far apart": 0.10, "as far as the noise": 0.03, "close": 0.01, "close but for one": -0.01}
SCENARIOS = (
    Scenario("without_risk", "", {"quality": 0.5, "cost": 0.15, "latency": 0.25, "memory": 0.1}),
    Scenario("with_risk", "", {"quality": 0.4, "cost": 0.1, "latency": 0.1, "risk": 0.4}),
)
WORST = WEIGHTS["worst_bucket"]
TOLERANCE = 0.05


def main() -> int:
    """Simulate and print one table a world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    start = time.perf_counter()
    everything: list[tuple[float, bool, str]] = []
    for scenario in SCENARIOS:
        for world, spread in WORLDS.items():
            found = []
            for seed in range(options.repetitions):
                rng = np.random.default_rng([seed, round(1000 * abs(spread)), spread < 0])
                found.append(_decide(*_simulate(rng, spread, options.resamples), scenario))
            _print(f"{scenario.name}, variants {world}", found)
            everything += found
    error, over = _print("all together", everything)
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0 if error <= TOLERANCE and over <= TOLERANCE else 1


def _simulate(
    rng: np.random.Generator, spread: float, resamples: int
) -> tuple[dict[str, Floats], Metrics]:
    """The truth, and what is measured of it."""
    outlier, spread = spread < 0, abs(spread)
    # success in each bucket, by the probit model: sample i is right where a + b_i + noise > 0
    level = ndtri(rng.uniform(0.45, 0.8, BUCKETS)) * math.sqrt(2.0)
    slope = spread / 0.3 * math.sqrt(2.0)  # success changes by about 0.3 for one of ability
    ability = level[:, None] + slope * (
        rng.standard_normal(VARIANTS) + 0.5 * rng.standard_normal((BUCKETS, VARIANTS))
    )
    if outlier:
        ability[:, -1] -= 1.5
    truth = ndtr(ability / math.sqrt(2.0))  # (buckets, variants)
    bucket = np.arange(SAMPLES) % BUCKETS
    shared = rng.standard_normal((SAMPLES, 1))
    scores = (ability[bucket] + shared + rng.standard_normal((SAMPLES, VARIANTS)) > 0).astype(float)
    factor = np.exp(rng.normal(0.0, 3.0 * spread, VARIANTS))
    price = np.exp(rng.normal(0.0, 3.0 * spread, VARIANTS))
    memory = np.exp(rng.normal(0.0, 3.0 * spread, VARIANTS))
    length = np.exp(rng.normal(0.0, 0.4, PROMPTS))
    noise = rng.normal(0.0, 0.05, (VARIANTS, ROUNDS, PROMPTS)) + rng.normal(
        0.0, 0.05, (VARIANTS, ROUNDS, 1)
    )
    seconds = factor[:, None, None] * length * np.exp(noise)
    slices = {"all": list(range(SAMPLES))}
    for k in range(BUCKETS):
        slices[str(k)] = list(np.flatnonzero(bucket == k))
    found = resample.scores(
        scores, range(SAMPLES), slices, resamples=resamples, seed=int(rng.integers(1 << 31))
    )
    lowest = np.minimum.reduce([found[str(k)] for k in range(BUCKETS)])
    stream = {"resamples": resamples, "seed": int(rng.integers(1 << 31))}
    medians = [
        resample.quantiles(seconds[v], (0.5,), stream=v, **stream)[0] for v in range(VARIANTS)
    ]
    busy = [resample.means(seconds[v].sum(axis=1), stream=v, **stream) for v in range(VARIANTS)]
    bound = np.quantile(lowest, 0.05, axis=0)
    draws = {
        "quality": found["all"],
        "latency": np.stack(medians, axis=1),
        "cost": price * np.stack(busy, axis=1),
        "memory": np.broadcast_to(memory, (resamples, VARIANTS)),
        "risk": WORST * (1.0 - bound + lowest.mean(axis=0) - lowest),
    }
    values = {
        "quality": scores.mean(axis=0),
        "latency": np.median(seconds.reshape(VARIANTS, -1), axis=1),
        "cost": price * seconds.sum(axis=2).mean(axis=1),
        "memory": memory,
        "risk": WORST * (1.0 - bound),
    }
    # the mean over the task set's own buckets, the same prompts asked without noise
    true = {
        "quality": truth[bucket].mean(axis=0),
        "latency": factor,
        "cost": price * factor,
        "memory": memory,
        "risk": WORST * (1.0 - truth.min(axis=0)),
    }
    names = tuple(f"v{v}" for v in range(VARIANTS))
    return true, Metrics(names, values, draws)


def _decide(
    true: dict[str, Floats], metrics: Metrics, scenario: Scenario
) -> tuple[float, bool, str]:
    choice = decision.decide(metrics, "v0", scenario)
    first = max(metrics.names, key=lambda name: choice.shares[name])
    gain = sum(
        weight * decision.steps(name, true[name][None, :], 0)[0]
        for name, weight in scenario.weights.items()
    )
    best = metrics.names[int(np.argmax(gain))]
    return choice.shares[first], first == best, choice.verdict


def _print(title: str, found: list[tuple[float, bool, str]]) -> tuple[float, float]:
    """Print a reliability table; returns the calibration error and the largest overstatement."""
    shares = np.array([share for share, _, _ in found])
    hits = np.array([right for _, right, _ in found], dtype=float)
    ties = sum(verdict == "tie" for _, _, verdict in found) / len(found)
    print(f"\n{title} (tie said in {ties:.0%})\n")
    print("| stated | n | mean stated | truly best |\n|---|---|---|---|")
    deviation = overstated = 0.0
    for low, high in itertools.pairwise(EDGES):
        inside = (shares >= low) & (shares < high)
        if not inside.any():
            continue
        mean, rate, n = shares[inside].mean(), hits[inside].mean(), int(inside.sum())
        error = math.sqrt(rate * (1 - rate) / n)
        print(f"| {low:.2f} to {min(high, 1):.2f} | {n} | {mean:.3f} | {rate:.3f} ± {error:.3f} |")
        deviation += abs(mean - rate) * n / len(shares)
        overstated = max(overstated, float(mean - rate - 2 * error))
    print(f"\nexpected calibration error {deviation:.3f}", flush=True)
    return deviation, overstated


if __name__ == "__main__":
    sys.exit(main())
