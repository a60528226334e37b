"""Two files' samples side by side, and what of them does not match."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.rows import SHOWN, ScoreFile, ScoreRow
from pytest_modellab.scorefiles.table import HASHES


class SamplesDiffer(ScoreFileError):
    """Too many samples of two files do not match.

    Args:
        message: what does not match, and what to do.
        matched: every id of it.
    """

    def __init__(self, message: str, matched: Matched) -> None:
        super().__init__(message)
        self.matched = matched


@dataclass(frozen=True)
class Matched:
    """The baseline's samples with both scores, sorted by id.

    A sample that the candidate lacks, or whose content changed, has no candidate score.

    Attributes:
        ids: of the baseline's samples.
        baseline: their scores, NaN where missing.
        candidate: likewise.
        buckets: their buckets, or None where there are none.
        clusters: their clusters, or None where there are none.
        only_baseline: ids that the candidate lacks.
        only_candidate: ids that the baseline lacks; they are not compared.
        changed: ids whose content hash differs.
        unscored_baseline: ids without a baseline score; they are not compared.
        unscored_candidate: ids of both files without a candidate score.
        content_checked: True where both files have content hashes.
        advice: what to do where every content differs, which one column may be to blame for.
    """

    ids: tuple[str, ...]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    buckets: tuple[str, ...] | None
    clusters: tuple[str | None, ...] | None
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
    changed: tuple[str, ...]
    unscored_baseline: tuple[str, ...]
    unscored_candidate: tuple[str, ...]
    content_checked: bool
    advice: str = ""

    @property
    def paired(self) -> int:
        """Samples that both files have, with the same content as far as that is known."""
        return len(self.ids) - len(self.only_baseline) - len(self.changed)

    @property
    def differences(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each way in which samples do not match, in words, with the ids; empty ones left out."""
        found = (
            ("only in the baseline", self.only_baseline),
            ("only in the candidate", self.only_candidate),
            ("with changed content", self.changed),
            ("without a candidate score", self.unscored_candidate),
            ("without a baseline score, left out", self.unscored_baseline),
        )
        return tuple((words, ids) for words, ids in found if ids)

    def check(self, max_missing: float) -> None:
        """Refuse what would compare different samples.

        Args:
            max_missing: share of samples, of those with a baseline score, that may be missing,
                extra, changed or without a candidate score.

        Raises:
            SamplesDiffer: there are more, or no id is in both files.
            ScoreFileError: the baseline, or a bucket of it, has no scores.
        """
        scored = len(self.ids) - len(self.unscored_baseline)
        if scored == 0:
            raise ScoreFileError(
                "no sample of the baseline has a score, so there is nothing to compare; "
                "check --score, or record the baseline again"
            )
        if len(self.only_baseline) == len(self.ids):
            raise SamplesDiffer(
                "no id of the candidate is in the baseline: "
                f"{some(self.only_candidate, 3)} against {some(self.only_baseline, 3)}. "
                "Name the column that holds the same ids in both: --id NAME",
                self,
            )
        unusable = {*self.only_baseline, *self.changed, *self.unscored_candidate}
        bad = len(unusable - set(self.unscored_baseline)) + len(self.only_candidate)
        if bad > max_missing * scored:
            listed = "; ".join(
                f"{len(ids)} {words}: {some(ids)}" for words, ids in self.differences
            )
            raise SamplesDiffer(
                f"{bad} of {scored} samples do not match ({bad / scored:.1%}, allowed "
                f"{max_missing:.1%}): {listed}. Run both on the same samples, or raise "
                f"--max-missing; --json PATH lists all ids.{self.advice}",
                self,
            )
        if self.buckets is not None:
            filled = {
                bucket
                for bucket, score in zip(self.buckets, self.baseline, strict=True)
                if not math.isnan(score)
            }
            empty = sorted(set(self.buckets) - filled)
            if empty:
                raise ScoreFileError(
                    f"no sample of bucket {empty[0]!r} has a baseline score; record the baseline "
                    "again, or leave the bucket out of both files"
                )


def match(baseline: ScoreFile, candidate: ScoreFile) -> Matched:
    """Pair two files' samples by id and content; the order of rows does not matter.

    Buckets and clusters are the baseline's.
    """
    before = {row.id: row for row in sorted(baseline.rows, key=lambda row: row.id)}
    after = {row.id: row for row in candidate.rows}
    checked = baseline.has_hashes and candidate.has_hashes
    both = [id_ for id_ in before if id_ in after]
    changed = tuple(id_ for id_ in both if checked and before[id_].hash != after[id_].hash)
    unusable = set(changed)
    scores = {id_: after[id_].score for id_ in both if id_ not in unusable}
    unscored_baseline = tuple(id_ for id_, row in before.items() if row.score is None)
    dropped = set(unscored_baseline)
    return Matched(
        ids=tuple(before),
        baseline=tuple(_number(row.score) for row in before.values()),
        candidate=tuple(_number(scores.get(id_)) for id_ in before),
        buckets=_all_or_none([row.bucket for row in before.values()]),
        clusters=(
            tuple(row.cluster for row in before.values())
            if any(row.cluster for row in before.values())
            else None
        ),
        only_baseline=tuple(id_ for id_ in before if id_ not in after),
        only_candidate=tuple(sorted(after.keys() - before.keys())),
        changed=changed,
        unscored_baseline=unscored_baseline,
        unscored_candidate=tuple(
            id_ for id_, score in scores.items() if score is None and id_ not in dropped
        ),
        content_checked=checked,
        advice=_advice(before, after, both) if both and len(changed) == len(both) else "",
    )


def _advice(
    before: Mapping[str, ScoreRow], after: Mapping[str, ScoreRow], both: Sequence[str]
) -> str:
    """Name the columns that are the same in both files, where every sample's content differs."""
    pairs = [(before[id_].contents, after[id_].contents) for id_ in both]
    columns = [name for name in pairs[0][0] if all(name in one for pair in pairs for one in pair)]
    alike = [name for name in columns if all(old[name] == new[name] for old, new in pairs)]
    hashes = [name for name in alike if name in HASHES]
    if hashes:
        named = " ".join(f"--hash {name}" for name in hashes)
        return f" Every content differs, but these are the same in both: {named}."
    if alike:  # the column of the ids
        return (
            " Every content differs, in every column that may identify it; if these are the same "
            f"samples nevertheless, --hash {alike[0]} pairs them by id alone."
        )
    return (
        " Every content differs; if these are the same samples nevertheless, leave "
        f"{' and '.join(columns) or 'the contents'} out of one file, which pairs them by id alone."
    )


def some(ids: Sequence[str], most: int = SHOWN) -> str:
    """The first ids in quotes, and how many more there are."""
    shown = ", ".join(repr(id_) for id_ in ids[:most])
    return f"{shown} and {len(ids) - most} more" if len(ids) > most else shown


def _number(score: float | None) -> float:
    return math.nan if score is None else score


def _all_or_none(labels: Sequence[str | None]) -> tuple[str, ...] | None:
    found = tuple(label for label in labels if label is not None)
    return found or None
