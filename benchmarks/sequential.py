"""Simulate sequential mode with known truth: false verdicts, power lost, samples used.

    python -m benchmarks.sequential [--repetitions N] [--seed S]

Scores are right or wrong. Single comparisons are drawn as counts a stage and judged together; the
first repetitions of every population are checked against `sequential_drop`. Families are judged
one by one, as `sequential_family` does, on a fifth of the repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modellab.gate import nominal_levels, sequential_drop
from pytest_modellab.gate._judge import judge
from pytest_modellab.gate._looks import Design, Walk
from pytest_modellab.gate._rows import Rows
from pytest_modellab.gate._stages import LOOKS
from pytest_modellab.gate.single import block_p, pass_p
from pytest_modellab.gate.validate import paired

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Row = tuple[str, str, str, bool | None]
"""Property, what is required, what was measured, whether that is enough."""

ALPHA = 0.05
CHECKED = 20
RIGHT = 0.7


@dataclass(frozen=True, slots=True)
class Truth:
    """A set of right-or-wrong samples: half the churn each way, the drop as further losses."""

    n: int
    churn: float
    drop: float = 0.0
    margin: float = 0.0

    def __str__(self) -> str:
        return f"n = {self.n}, churn {self.churn}, drop {self.drop}, margin {self.margin}"

    @property
    def chances(self) -> Floats:
        """Of a loss, a gain, staying right and staying wrong."""
        loss, gain = 0.5 * self.churn + self.drop, 0.5 * self.churn
        return np.array([loss, gain, RIGHT - loss, 1.0 - RIGHT - gain])


@dataclass(frozen=True, slots=True)
class Played:
    """Verdicts of many repetitions, sequentially and on all samples, and the share used."""

    block: Bools
    good: Bools
    used: Floats
    fixed_block: Bools
    fixed_good: Bools
    peeked: Bools


def play(truth: Truth, repetitions: int, seed: int) -> Played:
    """Draw and judge a population."""
    rng = np.random.default_rng([seed, truth.n, *(int(1e6 * one) for one in truth.chances)])
    edges = np.rint(np.linspace(0, truth.n, LOOKS + 1)).astype(np.int64)
    sizes = np.diff(edges)
    stages = np.stack(
        [rng.multinomial(size, truth.chances, repetitions) for size in sizes], axis=1
    ).astype(np.int64)
    seen = np.cumsum(stages, axis=1)  # repetitions, looks, (loss, gain, right, wrong)
    used_at = np.cumsum(sizes)
    levels = np.array(nominal_levels(ALPHA, tuple((used_at / truth.n).tolist())))
    p, p_pass = _p(truth, used_at, seen[..., 0], seen[..., 1])
    # what the samples of each stage could at worst and at best become
    at_risk = np.cumsum(stages[..., 0] + stages[..., 2], axis=1)
    to_win = np.cumsum(stages[..., 1] + stages[..., 3], axis=1)
    open_, block = np.ones(repetitions, bool), np.zeros(repetitions, bool)
    good, used = np.zeros(repetitions, bool), np.full(repetitions, float(truth.n))
    for k in range(LOOKS):
        blocks = open_ & (p[:, k] <= levels[k])
        passes = open_ & ~blocks & (p_pass[:, k] <= levels[k]) & (truth.margin > 0.0)
        left = open_ & ~blocks & ~passes
        stuck = left.copy()
        for later in range(LOOKS - 1, k, -1):
            lost, won, at = seen[:, k, 0], seen[:, k, 1], used_at[later]
            low, _ = _p(truth, at, lost + at_risk[:, later] - at_risk[:, k], won, stuck)
            high, low_pass = _p(truth, at, lost, won + to_win[:, later] - to_win[:, k], stuck)
            if later == LOOKS - 1:
                blocks |= left & (high <= levels[later])
            stuck &= low > levels[later]
            stuck &= (low_pass > levels[later]) | (truth.margin == 0.0)
        stops = open_ & (blocks | passes | stuck)
        used[stops] = used_at[k]
        block, good, open_ = block | blocks, good | passes, open_ & ~stops
    fixed_block = p[:, -1] <= ALPHA
    played = Played(
        block=block,
        good=good,
        used=used / truth.n,
        fixed_block=fixed_block,
        fixed_good=(p_pass[:, -1] <= ALPHA) & ~fixed_block & (truth.margin > 0.0),
        peeked=np.asarray(np.any(p <= ALPHA, axis=1)),
    )
    _check(truth, stages, played)
    return played


def _p(
    truth: Truth, n: Ints | np.int64, losses: Ints, gains: Ints, wanted: Bools | None = None
) -> tuple[Floats, Floats]:
    """p_block and p_pass of counts of any shape, 1 if unwanted; equal ones are computed once."""
    out = np.ones(losses.shape), np.ones(losses.shape)
    keep = np.ones(losses.shape, bool) if wanted is None else wanted
    if keep.any():
        counts = np.stack([losses, n - losses - gains, gains], axis=-1)[keep]
        found, index = np.unique(counts, axis=0, return_inverse=True)
        rows, margin = binary_rows(found), np.full(len(found), truth.margin)
        out[0][keep] = block_p(rows, margin)[0][index.ravel()]
        out[1][keep] = pass_p(rows, margin)[index.ravel()] if truth.margin > 0.0 else 1.0
    return out


def binary_rows(counts: Ints) -> Rows:
    """Rows of right-or-wrong differences from their counts of (losses, ties, gains)."""
    present = counts > 0
    lengths = present.sum(axis=1)
    values = np.broadcast_to(np.array([-1.0, 0.0, 1.0]), counts.shape)
    total = counts.sum(axis=1)
    size = len(counts)
    return Rows(
        values=values[present],
        weights=np.ones(int(lengths.sum())),
        counts=counts[present].astype(np.float64),
        starts=(np.cumsum(lengths) - lengths).astype(np.int64),
        samples=total,
        clusters=total,
        mean=(counts[:, 2] - counts[:, 0]) / total,
        losses=counts[:, 0],
        gains=counts[:, 2],
        binary=np.ones(size, bool),
        low=np.where(counts[:, 0] > 0, -1.0, np.where(counts[:, 1] > 0, 0.0, 1.0)),
        high=np.where(counts[:, 2] > 0, 1.0, np.where(counts[:, 1] > 0, 0.0, -1.0)),
    )


def _check(truth: Truth, stages: Ints, played: Played) -> None:
    """The public function must say the same."""
    before, after = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0])
    for i, counts in enumerate(stages[:CHECKED]):
        kind = np.concatenate([np.repeat(np.arange(4), one) for one in counts])
        stage = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        result = sequential_drop(before[kind], after[kind], margin=truth.margin, stages=stage)
        expected = "block" if played.block[i] else "pass" if played.good[i] else "inconclusive"
        if (result.verdict, result.used) != (expected, round(played.used[i] * truth.n)):
            raise AssertionError(
                f"{truth}: sequential_drop says {result.verdict} after {result.used}, not "
                f"{expected} after {played.used[i] * truth.n:g}"
            )


def at_margin(sizes: Sequence[int]) -> list[Truth]:
    """Nothing changed, or a drop equal to the margin."""
    return [
        Truth(n, churn, margin, margin)
        for n in sizes
        for churn in (0.02, 0.1, 0.25)
        for margin in (0.0, 0.02, 0.05)
    ]


BLOCKING = [
    *(Truth(1000, churn, drop, 0.02) for churn in (0.02, 0.1) for drop in (0.03, 0.04, 0.05, 0.06)),
]
PASSING = [
    Truth(1000, churn, drop, 0.02) for churn in (0.0, 0.02, 0.05, 0.1) for drop in (0, 0.005)
]
SAVINGS = (
    (0.60, "unchanged, churn .02", Truth(1000, 0.02, 0.0, 0.02)),
    (0.40, "drop .10, churn .1", Truth(1000, 0.1, 0.1, 0.02)),
    (None, "unchanged, churn .02, margin 0", Truth(1000, 0.02)),
    (None, "drop .10, churn .1, margin 0", Truth(1000, 0.1, 0.1)),
    (None, "drop = margin, churn .1", Truth(1000, 0.1, 0.02, 0.02)),
)


def sequential_rows(repetitions: int, seed: int) -> list[Row]:
    """The rows of the published table.

    A level counts as held up to three standard errors above it.
    """
    out: list[Row] = []
    slack = 3.0 * float(np.sqrt(ALPHA * (1.0 - ALPHA) / repetitions))
    for label, sizes in (("n = 1000", (1000,)), ("n = 100 to 500", (100, 200, 500))):
        truths = at_margin(sizes)
        played = [play(truth, repetitions, seed) for truth in truths]
        for side, rates in (
            ("block", [float(one.block.mean()) for one in played]),
            ("pass", [float(one.good.mean()) for one in played]),
        ):
            worst = int(np.argmax(rates))
            out.append(
                (
                    f"sequential, {label}: false {side}, {len(truths)} populations",
                    f"<= {ALPHA:.2f}",
                    f"{rates[worst]:.3f} at most ({truths[worst]})",
                    rates[worst] <= ALPHA + slack,
                )
            )
        peeked = [float(one.peeked.mean()) for one in played]
        out.append(
            (
                f"the same with plain peeking at {LOOKS} looks: false block",
                "",
                f"{min(peeked):.3f} to {max(peeked):.3f}",
                None,
            )
        )
    for side, truths in (("block", BLOCKING), ("pass", PASSING)):
        lost = []
        for truth in truths:
            one = play(truth, repetitions, seed)
            fixed, kept = (
                (one.fixed_block, one.block) if side == "block" else (one.fixed_good, one.good)
            )
            lost.append((float(fixed.mean() - kept.mean()), truth, float(fixed.mean())))
        most, where, power = max(lost, key=lambda found: found[0])
        out.append(
            (
                f"sequential, n = 1000: power to {side} lost, {len(truths)} populations",
                "<= 0.04",
                f"{most:.3f} at most ({where}: {power:.3f} on all samples)",
                most <= 0.04 + slack,
            )
        )
    for limit, label, truth in SAVINGS:
        used = float(play(truth, repetitions, seed).used.mean())
        out.append(
            (
                f"sequential, n = 1000: samples used, {label}",
                "" if limit is None else f"<= {limit:.2f}",
                f"{used:.3f}",
                None if limit is None else used <= limit,
            )
        )
    return out + family_rows(max(repetitions // 5, 1), seed)


def family_rows(repetitions: int, seed: int) -> list[Row]:
    """Eight buckets: any false block, and power lost against the fixed size."""
    out: list[Row] = []
    slack = 3.0 * float(np.sqrt(ALPHA * (1.0 - ALPHA) / repetitions))
    buckets = 8
    for n, margin, fallen in ((100, 0.0, 0.2), (100, 0.05, 0.25)):
        names = np.repeat(np.arange(buckets), n)
        for drop in (margin, fallen):
            rng = np.random.default_rng([seed, n, int(1000 * margin), int(1000 * drop)])
            sequential = fixed = used = 0.0
            for _ in range(repetitions):
                kind = np.concatenate(
                    [
                        rng.choice(4, n, p=Truth(n, 0.1, drop if one == 0 else margin).chances)
                        for one in range(buckets)
                    ]
                )
                before = np.isin(kind, (0, 2)).astype(np.float64)
                after = np.isin(kind, (1, 2)).astype(np.float64)
                design = Design.make(before, names, None, None, LOOKS, margin=margin)
                walk = Walk(design, ALPHA, ALPHA)
                verdict = walk.run(after, 0.0)
                data = paired(before, after, names, None, 0.0)
                sequential += (verdict == "block") / repetitions
                fixed += bool(judge(data, True, margin, ALPHA, ALPHA).blocked.any()) / repetitions
                used += float(np.mean(design.stages < walk.at)) / repetitions
            null = drop == margin
            said = f"{sequential:.3f}, {fixed:.3f} on all samples; {used:.2f} of them used"
            what = "any false block" if null else f"power, one bucket -{drop}"
            out.append(
                (
                    f"sequential, {buckets} buckets of {n}, churn .1, margin {margin}: {what}",
                    f"<= {ALPHA:.2f}" if null else "",
                    said,
                    sequential <= ALPHA + slack if null else None,
                )
            )
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequential", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    start = time.perf_counter()
    print("| property | required | measured | ok |\n|---|---|---|---|")
    missed = False
    for label, required, measured, held in sequential_rows(options.repetitions, options.seed):
        ok = "" if held is None else "yes" if held else "NO"
        missed |= held is False
        print(f"| {label} | {required} | {measured} | {ok} |")
    spent = time.perf_counter() - start
    print(f"\n{options.repetitions} repetitions, seed {options.seed}, {spent:.0f} s")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
