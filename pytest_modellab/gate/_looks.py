"""The looks of a sequential comparison: what is compared, and what becomes of each bucket."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from pytest_modellab.gate import validate
from pytest_modellab.gate._rows import Rows, collapse
from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints
from pytest_modellab.gate._spending import nominal_levels
from pytest_modellab.gate._stages import check_stages, cut_stages
from pytest_modellab.gate.errors import EmptyError, MissingScoresError
from pytest_modellab.gate.results import Verdict, combine_verdicts
from pytest_modellab.gate.settings import check_max_missing
from pytest_modellab.gate.single import block_p, pass_p
from pytest_modellab.gate.validate import UNIT, Scores

Answers = Scores | Callable[[int], Scores]
"""All scores, or a function that is given k and returns them with the first k stages answered."""


TINY = 1e-300
"""Stands in for the nominal level of a look that has none."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is compared, before anything is answered; arrays over all samples.

    Attributes:
        reference: The baseline's score, NaN where missing, or the floor.
        stages: Stage of each sample.
        buckets: Row of each sample.
        names: The rows' names, sorted.
        labels: Cluster number of each sample, or None.
        looks: Number of stages, up to the last that has a sample with a reference.
        fractions: Share of each row's samples, those without a baseline left out, that is in
            after each look.
        margin: The drop allowed.
        floor: The floor, or None.
    """

    reference: Floats
    stages: Ints
    buckets: Ints
    names: tuple[str, ...]
    labels: Ints | None
    looks: int
    fractions: tuple[tuple[float, ...], ...]
    margin: float
    floor: float | None

    @classmethod
    def make(
        cls,
        reference: Floats,
        buckets: Iterable[Hashable] | None,
        clusters: Iterable[Hashable] | None,
        stages: npt.ArrayLike | None,
        looks: int,
        *,
        margin: float = 0.0,
        floor: float | None = None,
    ) -> Design:
        size = reference.size
        if size == 0:
            raise EmptyError("there are no samples to compare: all arrays are empty")
        validate.check_size(size)
        codes, names = validate.label_codes("buckets", buckets, size)
        labels = validate.cluster_codes(clusters, size)
        if stages is None:
            whole = None if labels is None else labels.tolist()
            stage = cut_stages(range(size), strata=codes.tolist(), clusters=whole, looks=looks)
        else:
            stage = check_stages(stages, size, labels)
        known = ~np.isnan(reference)
        number = int(stage[known].max()) + 1
        counts = np.zeros((len(names), number))
        np.add.at(counts, (codes[known], stage[known]), 1.0)
        if not counts.any(axis=1).all():
            empty = names[int(np.argmin(counts.any(axis=1)))]
            raise EmptyError(
                f"bucket {empty!r} has no samples to compare: all its baseline scores are "
                "missing: record the baseline again, or leave the bucket out"
            )
        running = np.cumsum(counts, axis=1)
        return cls(
            reference=reference,
            stages=stage,
            buckets=codes,
            names=names,
            labels=labels,
            looks=number,
            fractions=tuple(map(tuple, (running / running[:, -1:]).tolist())),
            margin=margin,
            floor=floor,
        )

    @property
    def passable(self) -> bool:
        """Whether any scores could pass."""
        return self.margin > 0.0 or self.floor is not None

    def levels(self, alpha: float, row: int) -> tuple[float, ...]:
        """The nominal level of each look; a look without new samples has that of the one before."""
        fractions = self.fractions[row]
        rising = tuple(sorted({one for one in fractions if one > 0.0}))
        level = dict(zip(rising, nominal_levels(alpha, rising), strict=True))
        return tuple(level.get(one, 0.0) for one in fractions)

    def block_p(self, scores: Floats, look: int) -> Floats:
        """p_block of every row after a look, 1 for rows without samples; NaN scores count as equal.

        Scores of later stages are not read.
        """
        present, rows, chosen = self._rows(scores, look, missing=None)
        p = block_p(rows, np.full(present.size, self.margin))[0]
        if self.floor is not None:
            graded = (scores[chosen] > 0.0) & (scores[chosen] < 1.0)
            code = np.searchsorted(present, self.buckets[chosen])
            plain = np.bincount(code[graded], minlength=present.size) == 0
            exact = plain & (rows.clusters == rows.samples) & (rows.clusters > 1)
            p[exact] = bdtr(rows.gains, np.maximum(rows.gains + rows.losses, 1), self.floor)[exact]
        out = np.ones(len(self.names))
        out[present] = p
        return out

    def pass_p(self, scores: Floats, look: int) -> Floats:
        """p_pass of every row after a look; NaN scores count as 0."""
        out = np.ones(len(self.names))
        if self.passable:
            present, rows, _ = self._rows(scores, look, missing=0.0)
            worst = -1.0 if self.floor is None else -self.floor
            margin = np.full(present.size, self.margin)
            out[present] = pass_p(rows, margin, np.full(present.size, worst))
        return out

    def _rows(self, scores: Floats, look: int, missing: float | None) -> tuple[Ints, Rows, Bools]:
        chosen = (self.stages < look) & ~np.isnan(self.reference)
        reference, found = self.reference[chosen], scores[chosen]
        found = np.where(np.isnan(found), reference if missing is None else missing, found)
        difference = np.rint(found * UNIT) - np.rint(reference * UNIT)
        present, code = np.unique(self.buckets[chosen], return_inverse=True)
        labels = None if self.labels is None else self.labels[chosen]
        rows = collapse(difference.astype(np.int64), code, labels, present.size)
        return present, rows, chosen


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one row."""

    verdict: Verdict
    look: int
    level: float
    certain: bool = False


class Walk:
    """The looks of one family, one after another; rows are settled once and for all.

    Args:
        design: What is compared.
        alpha: The family's risk of any false block.
        pass_alpha: The risk of a false pass of each row.
    """

    def __init__(self, design: Design, alpha: float, pass_alpha: float) -> None:
        self.design = design
        self.alpha = alpha
        self.settled: dict[int, Settled] = {}
        self.at = 0
        self.scores = np.full_like(design.reference, np.nan)
        self._rows = range(len(design.names))
        self._can_block: set[int] = set()
        self._passing = [design.levels(pass_alpha, row) for row in self._rows]

    def run(self, answers: Answers, max_missing: float, only: int | None = None) -> Verdict:
        """Look until the verdict of all rows, or of one, is certain.

        Raises:
            GateInputError: The answers cannot be used, or too many are missing.
        """
        known = ~np.isnan(self.design.reference)
        limit = check_max_missing(max_missing) * np.count_nonzero(known)
        while True:
            self.at += 1
            if not (self.design.stages[known] == self.at - 1).any():
                continue
            self.scores = validate.scores(
                "candidate_scores", answers(self.at) if callable(answers) else answers
            )
            validate.same_length("candidate_scores", self.scores.size, "the reference", known.size)
            asked = known & (self.design.stages < self.at)
            absent = int(np.count_nonzero(np.isnan(self.scores[asked])))
            if absent > limit:
                raise MissingScoresError(
                    f"{absent} of {np.count_nonzero(asked)} candidate scores are missing, and at "
                    f"most {max_missing:.1%} of all {known.size} samples may be: run these samples "
                    "again, or raise max_missing"
                )
            self._look()
            verdict = self._verdict(only)
            if verdict is not None:
                return verdict

    def level(self, row: int, look: int) -> float:
        """The row's nominal level for BLOCK: Holm over the rows not blocked yet."""
        blocked = sum(one.verdict == "block" for one in self.settled.values())
        return self.design.levels(self.alpha / (len(self._rows) - blocked), row)[look - 1]

    def pass_level(self, row: int, look: int) -> float:
        """The row's nominal level for PASS."""
        return self._passing[row][look - 1]

    @property
    def _open(self) -> list[int]:
        return [row for row in self._rows if row not in self.settled]

    def _look(self) -> None:
        """Settle every row that has crossed a boundary, or that nothing could change any more."""
        self._block(self.design.block_p(self.scores, self.at), self.at)
        if self.design.passable:
            p = self.design.pass_p(self.scores, self.at)
            for row in self._open:
                if p[row] <= self.pass_level(row, self.at):
                    self._settle(row, "pass", self.level(row, self.at))
        self._curtail()

    def _block(self, p: Floats, look: int, *, certain: bool = False) -> None:
        """Block the rows whose p-value is at most their level at a look, step by step."""
        for row in sorted(self._open, key=lambda row: p[row] / max(self.level(row, look), TINY)):
            level = self.level(row, look)
            if p[row] <= level:
                self._settle(row, "block", level, certain=certain)

    def _settle(self, row: int, verdict: Verdict, level: float, *, certain: bool = False) -> None:
        self.settled[row] = Settled(verdict, self.at, level, certain)

    def _curtail(self) -> None:
        """Settle the rows that nothing could change any more (deterministic curtailment).

        The p-values are monotone in the scores, which end at 0 and 1: the worst and the best that
        the samples left could bring bound all the rest. Whether a row could block is asked at the
        level that it would have once all other open rows were blocked.
        """
        last, rest = self.design.looks, self.design.stages >= self.at
        worst, best = np.where(rest, 0.0, self.scores), np.where(rest, 1.0, self.scores)
        if self.at < last:
            self._block(self.design.block_p(best, last), last, certain=True)
        unblocked = sum(one.verdict != "block" for one in self.settled.values())
        most = self.alpha / (1 + unblocked)
        can_block: set[int] = set()
        can_pass: set[int] = set()
        for later in range(last, self.at, -1):
            if left := set(self._open) - can_block:
                p = self.design.block_p(worst, later)
                can_block |= {
                    row for row in left if p[row] <= self.design.levels(most, row)[later - 1]
                }
            if self.design.passable and (left := set(self._open) - can_pass):
                p = self.design.pass_p(best, later)
                can_pass |= {row for row in left if p[row] <= self.pass_level(row, later)}
        for row in set(self._open) - can_block - can_pass:
            level = self.level(row, self.at)
            self._settle(row, "inconclusive", level, certain=self.at < last)
        self._can_block = can_block

    def _verdict(self, only: int | None) -> Verdict | None:
        """The verdict of one row, or of all; None while it is open."""
        if only is not None:
            return self.settled[only].verdict if only in self.settled else None
        found = {one.verdict for one in self.settled.values()}
        if "block" in found:
            return "block"
        if not self._open or ("inconclusive" in found and not self._can_block):
            return combine_verdicts(found)
        return None
