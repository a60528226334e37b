"""What a task set can notice, what to add to it, and what to keep of it; pure functions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab import gate
from pytest_modellab.errors import GateUsageError
from pytest_modellab.gate.planner import PLAN_UP_TO
from pytest_modellab.gate.settings import check_level
from pytest_modellab.records.asked import Allowed, Budget
from pytest_modellab.records.tasks import Sample

Cut = Mapping[str, tuple[tuple[str, ...], ...]]
"""Bucket → its clusters in the order in which they are kept → the ids of their samples."""


@dataclasses.dataclass(frozen=True)
class Aim:
    """What is asked of a task set.

    Attributes:
        drop: the drop worth catching, in (0, 1).
        power: chance of catching it, in (0, 1).
        churn: share of samples that flip though nothing has changed, in [0, 1].
        allowed: the drops that are allowed, of the mean over all samples and of one bucket.
        alpha: risk of a false block of the whole run, in (0, 1).
        assertions: how many assertions share it equally.
        metric: what is judged in place of the score, or None.
    """

    drop: float
    power: float
    churn: float
    allowed: Allowed
    alpha: float
    assertions: int
    metric: str | None = None

    @property
    def budget(self) -> Budget:
        """What each assertion may spend."""
        return Budget.shared(self.alpha, self.assertions)

    def to_data(self) -> dict[str, Any]:
        """Return what is asked in built-in types."""
        data = dataclasses.asdict(self)
        del data["allowed"]
        return {**data, "margin": self.allowed.mean, "bucket_margin": self.allowed.capability}


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Samples that are judged together.

    Attributes:
        name: for the reader.
        sizes: samples in each cluster.
        seconds: what one sample takes on average, or None where it is not known.
        spread: how the differences of a graded metric scatter in it; None for right-or-wrong
            scores, whose differences the churn tells of.
    """

    name: str
    sizes: tuple[int, ...]
    seconds: float | None = None
    spread: gate.Spread | None = None

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(self.sizes)

    @functools.cached_property
    def effective(self) -> int:
        """Independent samples that they are worth if those of a cluster go together."""
        return int(gate.effective_size(self.sizes))


@dataclasses.dataclass(frozen=True)
class Row:
    """What one comparison can notice.

    Attributes:
        name: the bucket's name, or ``all``.
        samples: how many there are.
        clusters: how many of them are independent of each other.
        level: its share of alpha.
        detectable: smallest drop noticed with the power asked for, or None where none is.
        power: chance that it blocks if its samples lose the drop asked about.
        needed: samples that give the power asked for, or None where the drop is allowed.
        add: how many of them are lacking.
        pass_needed: samples that pass with the power asked for if nothing changes, or None.
        seconds: what one sample takes, or None.
        sd: standard deviation of a graded metric's differences; None for right-or-wrong scores.
    """

    name: str
    samples: int
    clusters: int
    level: float
    detectable: float | None
    power: float
    needed: int | None
    add: int | None
    pass_needed: int | None
    seconds: float | None
    sd: float | None = None

    @property
    def all_seconds(self) -> float | None:
        """What all of them take in a run of one variant, or None where that is not known."""
        return None if self.seconds is None else self.samples * self.seconds

    @property
    def add_seconds(self) -> float | None:
        """What those lacking would take, or None where that is not known."""
        return None if self.add is None or self.seconds is None else self.add * self.seconds


@dataclasses.dataclass(frozen=True)
class TaskSetPlan:
    """What a task set can notice.

    Attributes:
        question: what was asked.
        pooled: the mean over all samples, an assertion of its own.
        buckets: the family of buckets, one assertion together, in the order given.
        all_fall: chance, at least, that the run blocks if every sample's bucket falls by the drop.
        one_falls: the same if one bucket alone falls, by bucket.
    """

    question: Aim
    pooled: Row
    buckets: tuple[Row, ...]
    all_fall: float
    one_falls: Mapping[str, float]

    @property
    def seconds(self) -> float | None:
        """What a run of one variant takes, or None where that is not known of every bucket."""
        return _sum(row.all_seconds for row in self.buckets)

    @property
    def add(self) -> int | None:
        """Samples that the buckets lack in all, or None where the drop is allowed."""
        lacking = _sum(row.add for row in self.buckets)
        return None if lacking is None else int(lacking)

    @property
    def add_seconds(self) -> float | None:
        """What they would take in a run of one variant, or None where that is not known."""
        return _sum(row.add_seconds for row in self.buckets)

    def to_data(self) -> dict[str, Any]:
        """Return every figure in built-in types."""
        totals = {"seconds": self.seconds, "add": self.add, "add_seconds": self.add_seconds}
        return {**dataclasses.asdict(self), "question": self.question.to_data(), **totals}


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else math.fsum(value for value in known if value is not None)


def plan(buckets: Sequence[Bucket], whole: Bucket, question: Aim) -> TaskSetPlan:
    """Plan the two assertions of a usual suite: the mean over all samples, and each bucket's.

    Each gets ``alpha / assertions``; of K buckets each is planned with a K-th of that, which is
    what Holm's first step leaves it. At margin 0 minP leaves a bucket more where others are quiet.
    Samples of one cluster are taken to go together (:func:`gate.effective_size`).

    The run blocks if either assertion does. Both are judged on the same samples, so the chances of
    the run are those of the likelier assertion: a lower bound, whatever their dependence. So are
    those of the family where buckets share a cluster; otherwise its buckets are independent.

    Args:
        buckets: at least one.
        whole: all samples as one bucket; a cluster that several buckets share counts once here.
        question: what is asked.

    Raises:
        gate.GateInputError: a setting lies outside its range.
    """
    check_level("alpha", question.alpha)
    share, allowed = question.budget.share, question.allowed
    pooled = _rows([whole], question, allowed.mean, share, in_family=False)[0]
    margin = allowed.capability
    rows = _rows(buckets, question, margin, share / len(buckets), in_family=margin == 0.0)

    def pooled_power(part: int) -> float:
        drop = question.drop * part / whole.samples
        return _Rule(question, whole.spread, allowed.mean, share).power(whole.effective, drop)

    by_size = {size: pooled_power(size) for size in {row.samples for row in rows}}
    powers = [row.power for row in rows]
    independent = sum(row.clusters for row in rows) == len(whole.sizes)
    return TaskSetPlan(
        question=question,
        pooled=pooled,
        buckets=rows,
        all_fall=max(pooled.power, gate.any_power(powers) if independent else max(powers)),
        one_falls={row.name: max(row.power, by_size[row.samples]) for row in rows},
    )


def noticed(samples: int, whole: Bucket, question: Aim) -> float | None:
    """Return the smallest drop of the mean that so many samples notice, or None where none is.

    Args:
        samples: how many, at least 1, as much in clusters as those that there are.
        whole: all that there are, as one bucket.
        question: what is asked.
    """
    independent = max(int(samples * whole.effective / whole.samples), 1)
    rule = _Rule(question, whole.spread, question.allowed.mean, question.budget.share)
    return rule.detectable(independent)


def _rows(
    buckets: Iterable[Bucket], question: Aim, margin: float, level: float, *, in_family: bool
) -> tuple[Row, ...]:
    def row(bucket: Bucket) -> Row:
        n, samples = bucket.effective, bucket.samples
        rule = _Rule(question, bucket.spread, margin, level, in_family)

        def with_clusters(independent: int | None) -> int | None:
            return None if independent is None else math.ceil(independent * samples / n - 1e-9)

        wanted = with_clusters(rule.needed)
        return Row(
            name=bucket.name,
            samples=samples,
            clusters=len(bucket.sizes),
            level=level,
            detectable=rule.detectable(n),
            power=rule.power(n, question.drop),
            needed=wanted,
            add=None if wanted is None else max(wanted - samples, 0),
            pass_needed=with_clusters(rule.passing),
            seconds=bucket.seconds,
            sd=None if bucket.spread is None else bucket.spread.sd,
        )

    return tuple(row(bucket) for bucket in buckets)


@dataclasses.dataclass(frozen=True)
class _Rule:
    """How one comparison is planned: right or wrong by churn, graded by its own spread."""

    question: Aim
    spread: gate.Spread | None
    margin: float
    level: float
    in_family: bool = False

    def power(self, n: int, drop: float) -> float:
        """Chance that the drop blocks on so many independent samples."""
        if self.spread is not None:
            return gate.graded_power(n, drop, self.spread, margin=self.margin, level=self.level)
        return gate.power(n, drop, churn=self.question.churn, **self._settings)

    def detectable(self, n: int) -> float | None:
        """The smallest drop that so many independent samples notice."""
        asked = self.question.power
        if self.spread is not None:
            return gate.graded_drop(
                n, self.spread, margin=self.margin, level=self.level, power=asked
            )
        return gate.detectable_drop(
            n,
            churn=self.question.churn,
            power=asked,
            enumerate_up_to=PLAN_UP_TO,
            **self._settings,
        )

    @property
    def needed(self) -> int | None:
        """Independent samples that notice the drop asked about."""
        drop, asked = self.question.drop, self.question.power
        if self.spread is None:
            return _needed(drop, self.question.churn, asked, **self._settings)
        return gate.graded_size(
            drop, self.spread, margin=self.margin, level=self.level, power=asked
        )

    @property
    def passing(self) -> int | None:
        """Independent samples that pass if nothing changes."""
        alpha, asked = self.question.budget.alpha, self.question.power
        if self.spread is None:
            return _passing(self.question.churn, self.margin, alpha, asked)
        return gate.graded_pass_size(self.spread, margin=self.margin, level=alpha, power=asked)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"margin": self.margin, "level": self.level, "in_family": self.in_family}


@functools.lru_cache(maxsize=64)  # the same of every bucket
def _needed(
    drop: float, churn: float, power: float, margin: float, level: float, in_family: bool
) -> int | None:
    return gate.samples_for(
        drop, churn=churn, margin=margin, level=level, power=power, in_family=in_family
    )


@functools.lru_cache(maxsize=64)
def _passing(churn: float, margin: float, level: float, power: float) -> int | None:
    return gate.pass_size(churn=churn, margin=margin, level=level, power=power)


# --- what to keep --------------------------------------------------------------------------------


def cut(samples: Iterable[Sample], name_of: Callable[[Sample], str], seed: int = 0) -> Cut:
    """Cut samples into buckets, and put each bucket's clusters into the order of keeping them.

    The order is random, by a hash of seed and cluster (or sample id), and never by score or time:
    that would change what the mean stands for. Within a bucket, capability and difficulty take
    turns, so that the first part of it has the mix of the whole.

    Args:
        samples: of one task set.
        name_of: names a sample's bucket.
        seed: chooses the order.

    Returns:
        The buckets sorted by name.
    """
    strata: dict[tuple[str, str], dict[str, list[str]]] = {}
    places: dict[tuple[str, str], str] = {}
    for sample in samples:
        unit = f"cluster {sample.cluster}" if sample.cluster else f"sample {sample.id}"
        bucket = name_of(sample)
        stratum = places.setdefault((bucket, unit), sample.bucket)
        strata.setdefault((bucket, stratum), {}).setdefault(unit, []).append(sample.id)
    ranked: dict[str, list[tuple[float, str, tuple[str, ...]]]] = {}
    for (bucket, _), units in strata.items():
        hashed = sorted(
            (hashlib.sha256(f"{seed} {unit}".encode()).hexdigest(), tuple(ids))
            for unit, ids in units.items()
        )
        ranked.setdefault(bucket, []).extend(
            ((rank + 0.5) / len(hashed), key, ids) for rank, (key, ids) in enumerate(hashed)
        )
    return {name: tuple(ids for _, _, ids in sorted(ranked[name])) for name in sorted(ranked)}


def check_clusters(samples: Iterable[Sample], name_of: Callable[[Sample], str]) -> None:
    """Refuse clusters that lie in two buckets: they could not be kept whole bucket by bucket.

    Raises:
        GateUsageError: there is one; it is named.
    """
    first: dict[str, str] = {}
    for sample in samples:
        if sample.cluster:
            bucket = first.setdefault(sample.cluster, name_of(sample))
            if bucket != name_of(sample):
                raise GateUsageError(
                    f"cluster {sample.cluster!r} has samples in {bucket!r} and in "
                    f"{name_of(sample)!r}, so the buckets cannot be cut one by one; choose "
                    "buckets that hold it whole: --by …"
                )


def keep(buckets: Sequence[Bucket], seconds: float) -> tuple[int, ...]:
    """Choose how many clusters of each bucket to keep, so that a run takes at most a given time.

    All buckets share level and churn, so the least power over the buckets is best where every
    bucket keeps equally many independent samples, or all it has.

    Args:
        buckets: their clusters in the order of keeping them; the time of a sample must be known.
        seconds: for one variant.

    Returns:
        Clusters to keep, in the order of the buckets.

    Raises:
        GateUsageError: the time does not pay for two independent samples of every bucket.
    """

    def kept(least: int) -> tuple[int, ...]:
        return tuple(_clusters_for(bucket, least) for bucket in buckets)

    def cost(counts: Iterable[int]) -> float:
        return math.fsum(
            sum(bucket.sizes[:count]) * (bucket.seconds or 0.0)
            for bucket, count in zip(buckets, counts, strict=True)
        )

    low, high = 2, max(len(bucket.sizes) for bucket in buckets) + 1
    if cost(kept(low)) > seconds:
        raise GateUsageError(
            f"{seconds:g} s do not pay for two independent samples of each of {len(buckets)} "
            f"buckets; they take {cost(kept(low)):.1f} s: allow more time, or choose fewer "
            "buckets: --by …"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(kept(middle)) <= seconds else (low, middle)
    return kept(low)


def _clusters_for(bucket: Bucket, least: int) -> int:
    """How many of the first clusters are worth `least` independent samples; else all."""
    total = squares = 0
    for count, size in enumerate(bucket.sizes, 1):
        total, squares = total + size, squares + size**2
        if total**2 >= least * squares:
            return count
    return len(bucket.sizes)


def plan_kept(
    buckets: Sequence[Bucket],
    counts: Sequence[int],
    question: Aim,
    spread: gate.Spread | None = None,
) -> TaskSetPlan:
    """Plan the first clusters of each bucket; no cluster may lie in two of them.

    Args:
        buckets: all of their samples.
        counts: clusters to keep, in the order of the buckets.
        question: what is asked.
        spread: of all samples, see :class:`Bucket`.

    Raises:
        gate.GateInputError: a setting lies outside its range.
    """
    kept = [
        dataclasses.replace(bucket, sizes=bucket.sizes[:count])
        for bucket, count in zip(buckets, counts, strict=True)
    ]
    sizes = tuple(size for bucket in kept for size in bucket.sizes)
    seconds = _sum(None if b.seconds is None else b.samples * b.seconds for b in kept)
    each = None if seconds is None else seconds / sum(sizes)
    return plan(kept, Bucket("all", sizes, each, spread), question)


def kept_ids(pieces: Cut, counts: Sequence[int]) -> frozenset[str]:
    """Return the ids of the samples in the first clusters of each bucket."""
    kept = (clusters[:count] for clusters, count in zip(pieces.values(), counts, strict=True))
    return frozenset(itertools.chain.from_iterable(itertools.chain.from_iterable(kept)))
