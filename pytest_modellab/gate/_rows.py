"""Samples of many buckets as rows of distinct values with counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints, tail
from pytest_modellab.gate.validate import UNIT

_HALF = 1 << 41  # above the largest |difference| in units of 1e-12


@dataclass(frozen=True, slots=True)
class Rows:
    """One row a bucket; a row holds its clusters' mean differences and their weights.

    Attributes:
        values: Mean difference of a cluster, all rows one after the other.
        weights: Size of the cluster over the row's mean cluster size.
        counts: How many clusters of the row share this value and weight.
        starts: Where each row starts.
        samples: Number of samples in each row.
        clusters: Number of clusters in each row.
        mean: Mean difference over the samples of each row.
        losses: Number of samples with a negative difference.
        gains: Number of samples with a positive difference.
        binary: Rows without clusters whose differences are all -1, 0 or 1.
        low: Smallest value of each row.
        high: Largest value of each row.
    """

    values: Floats
    weights: Floats
    counts: Floats
    starts: Ints
    samples: Ints
    clusters: Ints
    mean: Floats
    losses: Ints
    gains: Ints
    binary: Bools
    low: Floats
    high: Floats

    @property
    def lengths(self) -> Ints:
        return np.diff(np.append(self.starts, self.values.size))

    def take(self, rows: Bools) -> Rows:
        """The chosen rows alone."""
        if rows.all():
            return self
        lengths = self.lengths
        keep = np.repeat(rows, lengths)
        kept = lengths[rows]
        return Rows(
            values=self.values[keep],
            weights=self.weights[keep],
            counts=self.counts[keep],
            starts=np.cumsum(kept) - kept,
            samples=self.samples[rows],
            clusters=self.clusters[rows],
            mean=self.mean[rows],
            losses=self.losses[rows],
            gains=self.gains[rows],
            binary=self.binary[rows],
            low=self.low[rows],
            high=self.high[rows],
        )

    def tail(
        self, shift: Floats, extra: Floats, clip: Floats | None = None, sign: float = 1.0
    ) -> Floats:
        """``T(sign * [u (max(d, -clip) + shift), extra])`` of every row.

        Several sets of extras, in two dimensions, give as many sets of probabilities.
        """
        index = np.repeat(np.arange(self.starts.size), self.lengths)
        x = shift[index]
        if clip is None:
            x += self.values
        else:
            x += np.maximum(self.values, -clip[index])
        x *= sign * self.weights
        return tail(x, self.counts, self.starts, sign * extra)

    def mean_square(self) -> tuple[Floats, Floats]:
        """Weighted sums of squares over the losses and over the gains."""
        squares = self.counts * (self.weights * self.values) ** 2
        losses = np.add.reduceat(np.where(self.values < 0.0, squares, 0.0), self.starts)
        gains = np.add.reduceat(np.where(self.values > 0.0, squares, 0.0), self.starts)
        return losses, gains


def collapse(differences: Ints, buckets: Ints, clusters: Ints | None, size: int) -> Rows:
    """Sort samples into rows; nothing in the result depends on their order.

    Args:
        differences: Per sample, in units of 1e-12, within [-1e12, 1e12].
        buckets: Row of each sample, 0 to size - 1, each at least once.
        clusters: Cluster of each sample, or None. Samples of one cluster in two
            buckets count as a cluster of either.
        size: Number of rows.
    """
    samples = np.bincount(buckets, minlength=size).astype(np.int64)
    if clusters is None:
        key = np.sort((buckets << 42) + differences + _HALF)
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        counts = np.diff(np.append(first, key.size))
        row = key[first] >> 42
        total = key[first] - (row << 42) - _HALF
        members = np.ones_like(total)
        groups = samples
    else:
        row, total, members = _cluster_sums(differences, buckets, clusters)
        order = np.lexsort((members, total, row))
        row, total, members = row[order], total[order], members[order]
        changed = (np.diff(row) != 0) | (np.diff(total) != 0) | (np.diff(members) != 0)
        first = np.flatnonzero(np.append(True, changed))
        counts = np.diff(np.append(first, row.size))
        row, total, members = row[first], total[first], members[first]
        groups = np.bincount(row, weights=counts, minlength=size).astype(np.int64)
    starts = np.flatnonzero(np.append(True, np.diff(row) != 0)).astype(np.int64)
    sums = np.add.reduceat(total * counts, starts)
    values = total / members / UNIT
    weights = members * (groups[row] / samples[row])
    plain = groups == samples
    whole = np.logical_and.reduceat((total == 0) | (np.abs(total) == UNIT), starts)
    return Rows(
        values=values,
        weights=np.where(plain[row], 1.0, weights),
        counts=counts.astype(np.float64),
        starts=starts,
        samples=samples,
        clusters=groups,
        mean=sums / samples / UNIT,
        losses=np.bincount(buckets[differences < 0], minlength=size).astype(np.int64),
        gains=np.bincount(buckets[differences > 0], minlength=size).astype(np.int64),
        binary=plain & whole,
        low=np.minimum.reduceat(values, starts),
        high=np.maximum.reduceat(values, starts),
    )


def _cluster_sums(differences: Ints, buckets: Ints, clusters: Ints) -> tuple[Ints, Ints, Ints]:
    """Row, sum and size of every cluster in every bucket."""
    order = np.lexsort((clusters, buckets))
    bucket, cluster = buckets[order], clusters[order]
    fresh = np.append(True, (np.diff(bucket) != 0) | (np.diff(cluster) != 0))
    first = np.flatnonzero(fresh)
    sizes = np.diff(np.append(first, order.size)).astype(np.int64)
    return bucket[first], np.add.reduceat(differences[order], first), sizes


def bucket_sums(values: Ints, buckets: Ints, size: int) -> Ints:
    """Exact sum of integers in each bucket."""
    out = np.zeros(size, dtype=np.int64)
    np.add.at(out, buckets, values)
    return out
