"""Measure the gate where the truth is known: false blocks, false passes, power, speed, and peers.

    python -m benchmarks.gate [--only PART,...] [--repetitions N] [--workers N] [--json PATH]

Prints the table of docs/gate.md and exits with 1 where a required figure is missed. A level counts
as held where the worst of its populations lies at most three standard errors above it, a power
where it lies at most two below. Every batch of repetitions is seeded by its population's name and
its own number: no figure depends on the number of workers, or on the other parts.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import gate_speed, peers, report
from benchmarks.peers import Bools, Verdicts
from benchmarks.populations import (
    ALPHA,
    LEVELS,
    NEAR,
    NEAR_BUCKETS,
    POPULATIONS,
    POWERS,
    Floats,
    Population,
    Requirement,
)
from benchmarks.report import Row
from benchmarks.sequential import sequential_rows
from pytest_modellab.gate import decide
from pytest_modellab.gate._rows import Rows, collapse
from pytest_modellab.gate.family import discrete_minp, holm
from pytest_modellab.gate.single import block_p, least_block_p, pass_p
from pytest_modellab.gate.validate import UNIT

PARTS = ("levels", "power", "peers", "properties", "sequential", "speed")
GATE = "this gate"
_BATCH = 200
_POOLED = " (pooled)"
_RANK = {"block": 0, "inconclusive": 1, "pass": 2}

Counts = Counter[tuple[str, str]]  # (rule, what it did) -> repetitions


@dataclass(frozen=True, slots=True)
class Batch:
    """Some repetitions of one population."""

    population: str
    number: int
    repetitions: int
    seed: int
    peers: bool

    def generator(self) -> np.random.Generator:
        name = int.from_bytes(hashlib.sha256(self.population.encode()).digest()[:8])
        return np.random.default_rng([self.seed, name, self.number])


def judge_batch(batch: Batch) -> Counts:
    """How often every rule blocks and passes."""
    population = POPULATIONS[batch.population]
    rng = batch.generator()
    before, after = population.draw(rng, (batch.repetitions, population.samples))
    block, good = verdicts(population, after - before)
    if batch.number == 0:
        check(population, before[:5], after[:5], block[:5], good[:5])
    found = {GATE: (block, good)}
    if batch.peers:
        found |= peer_verdicts(population, before, after, rng)
    counts: Counts = Counter()
    for rule, (blocked, passed) in found.items():
        counts[rule, "block"] = int(blocked.sum())
        counts[rule, "pass"] = int(passed.sum())
    return counts


def peer_verdicts(
    population: Population, before: Floats, after: Floats, rng: np.random.Generator
) -> dict[str, Verdicts]:
    """The other rules: on all samples, and uncorrected in every bucket where there are buckets."""
    pooled = peers.judge(before, after, population.margin, rng)
    if population.buckets == 1:
        return pooled
    shape = (before.shape[0], population.buckets, population.n)
    before, after = before.reshape(shape), after.reshape(shape)
    found = {rule + _POOLED: verdict for rule, verdict in pooled.items()}
    found[peers.BUCKET] = peers.bucket_drops(before, after, population.margin)
    each = [
        peers.judge(before[:, k], after[:, k], population.margin, rng)
        for k in range(population.buckets)
    ]
    for rule in pooled:
        blocked = np.any([one[rule][0] for one in each], axis=0)
        passed = np.all([one[rule][1] for one in each], axis=0)
        found[rule] = (blocked, passed)
    return found


def verdicts(population: Population, d: Floats) -> Verdicts:
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


def family_blocks(rows: Rows, p: Floats, margin: float, share: float) -> Bools:
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


def ask(
    population: Population,
    before: Floats,
    after: Floats,
    order: npt.NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """The public function's verdict on one repetition, its samples in the given order."""
    index = np.arange(before.size) if order is None else order
    labels = None
    if population.buckets > 1:
        names = names or [f"bucket {k:02}" for k in range(population.buckets)]
        labels = [names[k] for k in (index // population.n).tolist()]
    clusters = index // population.cluster if population.cluster > 1 else None
    return decide(before[index], after[index], labels, clusters, population.margin)


def check(population: Population, before: Floats, after: Floats, block: Bools, good: Bools) -> None:
    """`decide` must say the same as `verdicts`."""
    for one, other, blocks, passes in zip(before, after, block, good, strict=True):
        verdict = ask(population, one, other)
        expected = "block" if blocks else "pass" if passes else "inconclusive"
        if verdict != expected:
            raise AssertionError(f"{population.name}: decide says {verdict}, not {expected}")


def judge_changes(batch: Batch) -> Counts:
    """How often a verdict moves when it must not: the public function, asked again and again."""
    population = POPULATIONS[batch.population]
    rng = batch.generator()
    counts: Counts = Counter()
    scores = population.draw(rng, (batch.repetitions, population.samples))
    for before, after in zip(*scores, strict=True):
        verdict = ask(population, before, after)
        order = rng.permutation(before.size)
        names = [f"renamed {k:02}" for k in rng.permutation(population.buckets)]
        counts["rerun", "moved"] += ask(population, before, after) != verdict
        counts["renamed", "moved"] += ask(population, before, after, order, names) != verdict
        worse = after.copy()
        fallen = rng.choice(np.flatnonzero(after > 0.0), size=int(rng.integers(1, 4)))
        worse[fallen] *= rng.integers(2) * rng.random()
        counts["worse", "moved"] += _RANK[ask(population, before, worse)] > _RANK[verdict]
    return counts


def requirement_row(requirement: Requirement, counts: dict[str, Counts], repetitions: int) -> Row:
    """A row of levels or of power: the largest rate of its populations."""
    limit, side, level = requirement.limit, requirement.side, requirement.kind == "level"

    def rates(rule: str) -> list[tuple[float, str]]:
        return [
            (counts[one.name][rule, side] / repetitions, one.name)
            for one in requirement.populations
            if (rule, side) in counts[one.name]
        ]

    cells = {
        rule: " / ".join(
            f"{max(found)[0]:.3f}" for name in (rule, rule + _POOLED) if (found := rates(name))
        )
        for rule in peers.RULES
    }
    largest, where = max(rates(GATE))
    held = None
    if limit is not None:
        error = np.sqrt(limit * (1.0 - limit) / repetitions)
        held = bool(largest <= limit + 3.0 * error if level else largest >= limit - 2.0 * error)
    return Row(
        label=requirement.label,
        value=largest,
        measured=f"{largest:.3f} ({where})" if level else f"{largest:.3f}",
        required="" if limit is None else f"{'<=' if level else '>='} {limit:.2f}",
        held=held,
        peers=cells,
    )


def property_rows(counts: dict[str, Counts], repetitions: int) -> list[Row]:
    """How many verdicts moved; none may. Up to three samples fall to make a candidate worse."""
    rows = []
    for what, label, some in (
        ("rerun", "another verdict in a second run", NEAR + NEAR_BUCKETS),
        (
            "renamed",
            "another verdict under other sample order and bucket names",
            NEAR + NEAR_BUCKETS,
        ),
        ("worse", "a better verdict for a worse candidate", NEAR),
        ("worse", "a better verdict for a worse candidate, buckets at margin 0", NEAR_BUCKETS),
    ):
        moved = sum(counts[one.name][what, "moved"] for one in some)
        said = f"{moved} of {repetitions * len(some)}"
        rows.append(Row(label=label, value=moved, measured=said, required="0", held=moved == 0))
    return rows


def simulate(
    job: Callable[[Batch], Counts],
    populations: Iterable[Population],
    repetitions: int,
    options: argparse.Namespace,
) -> dict[str, Counts]:
    """The sum of all batches of every population, with progress on stderr."""
    compared = "peers" in options.only
    todo = [
        Batch(name, number, min(_BATCH, repetitions - start), options.seed, compared)
        for name in dict.fromkeys(one.name for one in populations)
        for number, start in enumerate(range(0, repetitions, _BATCH))
    ]
    counts = {batch.population: Counts() for batch in todo}
    begun = said = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for done, (batch, found) in enumerate(zip(todo, pool.imap(job, todo), strict=True), 1):
            counts[batch.population].update(found)
            now = time.perf_counter()
            if now - said > 10.0 or done == len(todo):
                said = now
                text = f"{job.__name__}: {done} of {len(todo)} batches, {now - begun:.0f} s"
                print(text, file=sys.stderr)
    return counts


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; `only` is a set of parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument(
        "--only",
        default=",".join(PARTS),
        metavar="PART,...",
        help=f"of {', '.join(PARTS)}; peers are measured in the rows of levels and power",
    )
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure there")
    options = parser.parse_args(arguments)
    options.only = set(options.only.split(","))
    if unknown := options.only - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    if options.only == {"peers"}:
        options.only |= {"levels", "power"}
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether every requirement is met."""
    options = parse(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers' numpy
    begun = time.perf_counter()
    rows: list[Row] = []
    counts: dict[str, Counts] = {}
    chosen = LEVELS * ("levels" in options.only) + POWERS * ("power" in options.only)
    if chosen:
        drawn = [one for requirement in chosen for one in requirement.populations]
        counts = simulate(judge_batch, drawn, options.repetitions, options)
        rows += [requirement_row(one, counts, options.repetitions) for one in chosen]
    if "properties" in options.only:
        repetitions = max(options.repetitions // 8, 1)
        moved = simulate(judge_changes, NEAR + NEAR_BUCKETS, repetitions, options)
        rows += property_rows(moved, repetitions)
    if "sequential" in options.only:
        print("sequential", file=sys.stderr)
        rows += [
            Row(label=label, required=required, measured=measured, held=held)
            for label, required, measured, held in sequential_rows(
                options.repetitions, options.seed
            )
        ]
    if "speed" in options.only:
        print("speed", file=sys.stderr)
        rows += gate_speed.rows(options.seed)
    print(report.markdown(rows, peers.RULES))
    if "peers" in options.only:
        print(f"\n{peers.NOTES}")
    settings = {
        "repetitions": options.repetitions,
        "seed": options.seed,
        "workers": options.workers,
        "seconds": round(time.perf_counter() - begun),
    }
    about = ", ".join(f"{key} {value}" for key, value in (report.environment() | settings).items())
    print(f"\n{about}")
    if options.json:
        populations = {
            name: {f"{rule}: {side}": n for (rule, side), n in found.items()}
            for name, found in counts.items()
        }
        report.write_json(options.json, rows, settings=settings, populations=populations)
    missed = [row for row in rows if row.held is False]
    for row in missed:
        print(f"missed: {row.label}: {row.measured}, required {row.required}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
