"""Simulate the gate with known truth: false blocks, false passes, power, time.

    python -m benchmarks.gate [--repetitions N] [--seed S]

Each repetition draws the differences of one comparison from a population whose
mean drop is known. A level counts as held where the worst of its populations
lies at most three standard errors above it, a power where it lies at most two
below.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modellab.gate import compare, decide
from pytest_modellab.gate._rows import Rows, collapse
from pytest_modellab.gate.family import discrete_minp, holm
from pytest_modellab.gate.single import block_p, least_block_p, pass_p
from pytest_modellab.gate.validate import UNIT

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
ALPHA = 0.05
_BATCH = 400


@dataclass(frozen=True, slots=True)
class Population:
    """Differences of `buckets` times `n` samples; `draw` gives (repetitions, samples)."""

    name: str
    n: int
    draw: Draw
    buckets: int = 1
    cluster: int = 1
    margin: float = 0.0


def binary(churn: float, drop: float = 0.0) -> Draw:
    """Half of the churn each way, and the drop as further losses."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        u = rng.random(shape)
        loss = 0.5 * churn + drop
        return np.where(u < loss, -1.0, np.where(u < loss + 0.5 * churn, 1.0, 0.0))

    return draw


def clustered(churn: float, drop: float, size: int, shared: float = 0.7) -> Draw:
    """A sample does what its cluster does with probability `shared`, else flips on its own."""
    flips = binary(churn, drop)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        own = flips(rng, shape)
        together = np.repeat(flips(rng, (shape[0], shape[1] // size)), size, axis=1)
        return np.where(rng.random(shape) < shared, together, own)

    return draw


def rubric(drop: float = 0.0) -> Draw:
    """Grades in quarters; 0.3 of the samples move one step, the drop as further steps down."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return 0.25 * binary(0.3, 4.0 * drop)(rng, shape)

    return draw


def ndcg(drop: float = 0.0) -> Draw:
    """0.4 of the queries change, by normal amounts of standard deviation 0.3."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        moved = np.clip(rng.normal(-drop / 0.4, 0.3, shape), -1.0, 1.0)
        return np.where(rng.random(shape) < 0.4, moved, 0.0)

    return draw


def skewed(sign: float) -> Draw:
    """All samples change, by exponential amounts of mean 0.05 less that mean (skewness 2)."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return np.clip(sign * (rng.exponential(0.05, shape) - 0.05), -1.0, 1.0)

    return draw


def two_valued(rare: float) -> Draw:
    """One sample in ten changes by `rare`, the others by a ninth of it the other way."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return np.where(rng.random(shape) < 0.1, rare, -rare / 9.0)

    return draw


def one_bucket(buckets: int, churn: float, drop: float) -> Draw:
    """The drop in the first bucket alone."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        out = binary(churn)(rng, shape)
        n = shape[1] // buckets
        out[:, :n] = binary(churn, drop)(rng, (shape[0], n))
        return out

    return draw


def rates(population: Population, repetitions: int, seed: int) -> tuple[float, float]:
    """Shares of the repetitions that block and that pass."""
    rng = np.random.default_rng(seed)
    blocked = passed = 0
    for start in range(0, repetitions, _BATCH):
        number = min(_BATCH, repetitions - start)
        d = population.draw(rng, (number, population.n * population.buckets))
        block, good = verdicts(population, d)
        if start == 0:
            check(population, d[:5], block[:5], good[:5])
        blocked += int(block.sum())
        passed += int(good.sum())
    return blocked / repetitions, passed / repetitions


def verdicts(
    population: Population, d: Floats
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """What `decide` says of every repetition, computed together."""
    number, total = d.shape
    units = np.rint(d * UNIT).astype(np.int64).ravel()
    sample = np.tile(np.arange(total), number)
    run = np.repeat(np.arange(number), total)
    groups = sample // population.cluster if population.cluster > 1 else None
    share = ALPHA if population.buckets == 1 else 0.5 * ALPHA
    pooled = collapse(units, run, groups, number)
    margin = np.full(number, population.margin)
    block = block_p(pooled, margin)[0] <= share
    good = pass_p(pooled, margin) <= ALPHA
    if population.buckets > 1:
        k = population.buckets
        rows = collapse(units, run * k + sample // population.n, groups, number * k)
        margins = np.full(number * k, population.margin)
        p = block_p(rows, margins)[0].reshape(number, k)
        block |= family_blocks(rows, p, population.margin, share)
        good &= np.all((pass_p(rows, margins) <= ALPHA).reshape(number, k), axis=1)
    return block, good & ~block & (population.margin > 0.0)


def family_blocks(rows: Rows, p: Floats, margin: float, share: float) -> npt.NDArray[np.bool_]:
    """Whether any bucket of each repetition blocks."""
    number, k = p.shape
    if margin > 0.0:
        return np.array([holm(one).min() <= share for one in p])
    discordant = (rows.losses + rows.gains).reshape(number, k)
    plain = rows.binary.reshape(number, k)
    least = np.ones((number, k)) if plain.all() else least_block_p(rows).reshape(number, k)
    return np.array(
        [
            discrete_minp(p[i], discordant[i], plain[i], least[i]).min() <= share
            for i in range(number)
        ]
    )


def check(
    population: Population,
    d: Floats,
    block: npt.NDArray[np.bool_],
    good: npt.NDArray[np.bool_],
) -> None:
    """The public function must say the same."""
    for one, blocks, passes in zip(d, block, good, strict=True):
        index = np.arange(one.size)
        verdict = decide(
            np.clip(-one, 0.0, 1.0),
            np.clip(one, 0.0, 1.0),
            index // population.n if population.buckets > 1 else None,
            index // population.cluster if population.cluster > 1 else None,
            population.margin,
        )
        expected = "block" if blocks else "pass" if passes else "inconclusive"
        if verdict != expected:
            raise AssertionError(f"{population.name}: decide says {verdict}, not {expected}")


def unchanged() -> Iterator[Population]:
    """Populations without any drop, or with a drop equal to the margin."""
    for n in (20, 50, 100, 200, 500):
        for churn in (0.0, 0.02, 0.1, 0.25):
            yield Population(f"n = {n}, churn {churn}", n, binary(churn))
            for m in (0.02, 0.05):
                name = f"n = {n}, churn {churn}, drop = margin = {m}"
                yield Population(name, n, binary(churn, m), margin=m)
        yield Population(f"rubric n = {n}", n, rubric())
        yield Population(f"nDCG n = {n}", n, ndcg())
        yield Population(f"rubric n = {n}, drop = margin", n, rubric(0.05), margin=0.05)
        yield Population(f"nDCG n = {n}, drop = margin", n, ndcg(0.05), margin=0.05)
    for groups in (20, 40, 100):
        for m in (0.0, 0.05):
            name = f"{groups} clusters of 5, drop = margin = {m}"
            yield Population(name, 5 * groups, clustered(0.1, m, 5), cluster=5, margin=m)


def unchanged_buckets() -> Iterator[Population]:
    """The same for families."""
    for buckets, n in ((2, 100), (8, 50), (40, 20), (40, 50)):
        for churn in (0.02, 0.1, 0.25):
            for m in (0.0, 0.05):
                name = f"{buckets} buckets of {n}, churn {churn}, drop = margin = {m}"
                yield Population(name, n, binary(churn, m), buckets=buckets, margin=m)
    yield Population("8 buckets of 50, rubric", 50, rubric(), buckets=8)
    yield Population("40 buckets of 50, nDCG", 50, ndcg(), buckets=40)
    yield Population("8 buckets of 10 clusters of 5", 50, clustered(0.1, 0.0, 5), 8, 5)


def strongly_skewed() -> Iterator[Population]:
    """Most samples move a little one way, few of them far the other way."""
    for n in (20, 50, 100, 200, 500):
        yield Population(f"exponential gains, n = {n}", n, skewed(1.0))
        yield Population(f"exponential losses, n = {n}", n, skewed(-1.0))


def rare_gains() -> Iterator[Population]:
    """The worst kind of skew: every sample loses the same, or gains nine times as much."""
    for n in (20, 40, 50, 95, 100, 200, 220, 500):
        yield Population(f"n = {n}", n, two_valued(0.45))
        yield Population(f"losses, n = {n}", n, two_valued(-0.45))


BLOCK_POWER = (
    (0.66, Population("n = 50, churn .1, drop .15", 50, binary(0.1, 0.15))),
    (0.54, Population("n = 100, churn .02, drop .05", 100, binary(0.02, 0.05))),
    (0.85, Population("n = 200, churn .02, drop .05", 200, binary(0.02, 0.05))),
    (0.92, Population("n = 200, churn .1, drop .10", 200, binary(0.1, 0.1))),
    (0.87, Population("n = 500, churn .1, drop .05", 500, binary(0.1, 0.05))),
    (
        0.87,
        Population("8 buckets of 50, churn .02, one -.20", 50, one_bucket(8, 0.02, 0.2), 8),
    ),
    (0.95, Population("8 buckets of 50, churn .02, all -.05", 50, binary(0.02, 0.05), 8)),
    (
        0.84,
        Population("40 buckets of 50, churn .02, one -.20", 50, one_bucket(40, 0.02, 0.2), 40),
    ),
    (0.93, Population("40 buckets of 50, churn .1, all -.03", 50, binary(0.1, 0.03), 40)),
    (
        0.65,
        Population("40 clusters of 5, churn .1, drop .15", 200, clustered(0.1, 0.15, 5), 1, 5),
    ),
    (0.85, Population("rubric, n = 100, drop .05", 100, rubric(0.05))),
    (0.74, Population("nDCG, n = 100, drop .05", 100, ndcg(0.05))),
)

PASS_POWER = (
    (0.99, Population("identical, n = 200, m = .02", 200, binary(0.0), margin=0.02)),
    (0.95, Population("n = 200, churn .02, m = .05", 200, binary(0.02), margin=0.05)),
    (0.92, Population("n = 500, churn .1, m = .05", 500, binary(0.1), margin=0.05)),
    (
        0.80,
        Population("8 buckets of 200, churn .02, m = .05", 200, binary(0.02), 8, margin=0.05),
    ),
)


def table(repetitions: int, seed: int) -> list[tuple[str, str, str, str]]:
    """Property, required, measured, ok."""
    out: list[tuple[str, str, str, str]] = []

    def error(rate: float) -> float:
        return float(np.sqrt(rate * (1.0 - rate) / repetitions))

    def level(label: str, limit: float, found: list[tuple[float, str]]) -> None:
        worst, where = max(found)
        held = worst <= limit + 3.0 * error(limit)
        out.append(
            (
                f"{label}, {len(found)} populations",
                f"<= {limit:.2f}",
                f"{worst:.3f} at most ({where})",
                "yes" if held else "NO",
            )
        )

    single = [(one, rates(one, repetitions, seed)) for one in unchanged()]
    family = [(one, rates(one, repetitions, seed)) for one in unchanged_buckets()]
    skew = [(one, rates(one, repetitions, seed)) for one in strongly_skewed()]
    level("false block, one set", ALPHA, [(rate[0], one.name) for one, rate in single])
    level("false block, 2 to 40 buckets", ALPHA, [(rate[0], one.name) for one, rate in family])
    rare = [(one, rates(one, repetitions, seed)) for one in rare_gains()]
    level("false block, strongly skewed", 0.06, [(rate[0], one.name) for one, rate in skew])
    for some, label in ((False, "n = 20"), (True, "n >= 40")):
        found = [(rate[0], one.name) for one, rate in rare if (one.n > 20) is some]
        level(f"false block, two values only, {label}", 0.06, found)
    level(
        "false pass at drop = margin",
        ALPHA,
        [(rate[1], one.name) for one, rate in single + family if one.margin > 0.0],
    )
    for rows, side, label in ((BLOCK_POWER, 0, "block"), (PASS_POWER, 1, "pass")):
        for required, one in rows:
            power = rates(one, repetitions, seed)[side]
            held = power >= required - 2.0 * error(required)
            out.append(
                (
                    f"power to {label}: {one.name}",
                    f">= {required:.2f}",
                    f"{power:.3f}",
                    "yes" if held else "NO",
                )
            )
    return out


def timings(seed: int) -> list[tuple[str, str, str, str]]:
    """Seconds taken by the public functions."""
    rng = np.random.default_rng(seed)
    out = []
    for buckets, n, limit in ((40, 5000, 0.05), (1000, 1000, 2.0)):
        total = buckets * n
        names = np.char.add("bucket ", (np.arange(total) % buckets).astype(str)).tolist()
        for kind, before in (
            ("binary", (rng.random(total) < 0.7).astype(np.float64)),
            ("rubric", rng.integers(0, 5, total) / 4.0),
            ("continuous", rng.random(total)),
        ):
            after = np.where(rng.random(total) < 0.1, rng.permutation(before), before)
            for call in (decide, compare):
                seconds = []
                for _ in range(5):
                    start = time.perf_counter()
                    call(before, after, names, margin=0.0)
                    seconds.append(time.perf_counter() - start)
                best = min(seconds)
                wanted = f"<= {limit:g} s" if call is decide and kind == "binary" else ""
                held = ("yes" if best <= limit else "NO") if wanted else ""
                label = f"{call.__name__}, {buckets} buckets of {n}, {kind}"
                out.append((label, wanted, f"{best:.3f} s", held))
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    start = time.perf_counter()
    rows = table(options.repetitions, options.seed) + timings(options.seed)
    print("| property | required | measured | ok |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    spent = time.perf_counter() - start
    print(f"\n{options.repetitions} repetitions, seed {options.seed}, {spent:.0f} s")


if __name__ == "__main__":
    main()
