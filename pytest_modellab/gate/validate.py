"""Checks of what callers hand in; the rest of the gate computes on clean arrays.

Scores and labels may be lists, numpy arrays, pandas Series, pyarrow arrays or
anything else that numpy reads. None of those libraries is imported: what makes
them differ is asked of the objects themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints
from pytest_modellab.gate.errors import (
    AlignmentError,
    EmptyError,
    LabelError,
    LengthError,
    MeasurementError,
    MissingScoresError,
    ScoreError,
)
from pytest_modellab.gate.settings import check_max_missing

Scores: TypeAlias = npt.ArrayLike | Sequence[float | None]
"""One number a sample: whatever numpy reads, or None where a score is missing."""


UNIT = 10**12
"""Scores are kept as integers of 1e-12, so that sums do not depend on their order."""


MAX_SAMPLES = 4_000_000


MAX_BUCKETS = 1_000_000


_SHOWN = 5


_UNORDERED = (str, bytes, Mapping, Set)  # iterable, but not one entry a sample


_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Paired:
    """Two sets of scores on the same samples, checked, as integers of 1e-12.

    Attributes:
        baseline: Baseline scores of the samples kept.
        candidate: Candidate scores; where missing, the baseline's score.
        missing: Which candidate scores are missing.
        index: Position of each kept sample in the caller's arrays.
        dropped: Positions of the samples left out because their baseline is NaN.
        buckets: Each kept sample's bucket, as an index into `names`.
        names: Bucket names, sorted.
        clusters: Each kept sample's cluster number, or None.
    """

    baseline: Ints
    candidate: Ints
    missing: Bools
    index: Ints
    dropped: tuple[int, ...]
    buckets: Ints
    names: tuple[str, ...]
    clusters: Ints | None
    dropped_buckets: tuple[int, ...]

    def only(self, names: tuple[str, ...]) -> Paired:
        """The samples of these buckets alone; positions stay the caller's."""
        old = [code for code, name in enumerate(self.names) if name in names]
        new = np.full(len(self.names), -1)
        new[old] = np.arange(len(old))
        keep = new[self.buckets] >= 0
        gone = [
            (index, int(new[code]))
            for index, code in zip(self.dropped, self.dropped_buckets, strict=True)
            if new[code] >= 0
        ]
        return replace(
            self,
            baseline=self.baseline[keep],
            candidate=self.candidate[keep],
            missing=self.missing[keep],
            index=self.index[keep],
            dropped=tuple(index for index, _ in gone),
            buckets=new[self.buckets[keep]],
            names=tuple(self.names[code] for code in old),
            clusters=None if self.clusters is None else self.clusters[keep],
            dropped_buckets=tuple(code for _, code in gone),
        )


def scores(name: str, values: Scores) -> Floats:
    """A float array of scores in [0, 1], NaN where missing.

    Args:
        name: What to call the array in messages.
        values: One number a sample; None, NaN, pandas.NA and null stand for a
            missing score.

    Raises:
        LengthError: The array does not have one dimension.
        ScoreError: An entry is no number, infinite, below 0 or above 1.
    """
    array = _floats(values)
    if array is None:
        raise ScoreError(
            f"{name} must be one number a sample (None or NaN where it is missing), "
            f"but could not be read as such: {_shorten(values)}"
        )
    if array.ndim != 1:
        raise LengthError(
            f"{name} has shape {array.shape}, but must have one score a sample: average repeated "
            "generations and paraphrases of a sample first"
        )
    with np.errstate(invalid="ignore"):
        outside = (array < -_TOLERANCE) | (array > 1.0 + _TOLERANCE)
    if outside.any():
        where = np.flatnonzero(outside)
        raise ScoreError(
            f"{name}: {_count(where.size, 'score')} outside [0, 1], {_at(where)} "
            f"(first value {array[where[0]]:g}): map the metric to 0 (worst) to 1 (best) first"
        )
    return np.clip(array, 0.0, 1.0)


def _floats(values: Any) -> Floats | None:
    """A float array, NaN where a value is missing; None where there is something else in it."""
    try:
        if not isinstance(values, np.ma.MaskedArray):  # numpy would read what the mask hides
            return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    if isinstance(values, _UNORDERED):
        return None
    try:
        return np.array([math.nan if _is_missing(one) else float(one) for one in _items(values)])
    except (TypeError, ValueError):
        return None


def _items(values: Any) -> list[Any]:
    """Python objects, whatever holds them."""
    if hasattr(values, "iterchunks"):  # pyarrow
        return [one for chunk in values.iterchunks() for one in _items(chunk)]
    if hasattr(values, "dictionary_decode"):  # pyarrow, whose dictionaries are slow to list
        values = values.dictionary_decode()
    for method in ("to_pylist", "tolist"):  # pyarrow; numpy, pandas
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT, or pandas.NA, of which Python cannot say whether it equals itself."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def aligned(**inputs: object) -> None:
    """AlignmentError unless all Series among the inputs have the same index.

    Samples are paired by position. Two pandas Series may hold the same samples
    in another order, which their indexes show; inputs without an index (lists,
    arrays) are taken to be in the order of the others.
    """
    found = {name: getattr(values, "index", None) for name, values in inputs.items()}
    indexed: dict[str, Any] = {
        name: index for name, index in found.items() if hasattr(index, "equals")
    }
    if not indexed:
        return
    first, *others = indexed
    for other in others:
        if not indexed[first].equals(indexed[other]):
            raise AlignmentError(
                f"{first} and {other} are Series with different indexes: align them, for example "
                "with candidate.reindex(baseline.index), or hand in .to_numpy() of each to pair "
                "them by position"
            )


def measurements(
    name: str, values: Scores, axes: tuple[str, ...], *, above_zero: bool = False
) -> Floats:
    """A float array of measured times or costs.

    Args:
        name: What to call the array in messages.
        values: One number each, of the shape that `axes` names.
        axes: What the dimensions are, for messages.
        above_zero: Whether 0 is no measurement either.

    Raises:
        EmptyError: There are none.
        LengthError: The array has another number of dimensions.
        MeasurementError: One is missing, infinite, negative or no number.
    """
    shape = f"({', '.join(f'{axis}s' for axis in axes)})"
    array = _floats(values)
    if array is None:
        raise MeasurementError(
            f"{name} must be numbers of shape {shape}, but could not be read as such: "
            f"{_shorten(values)}"
        )
    if array.ndim != len(axes):
        raise LengthError(f"{name} has shape {array.shape}, but must have shape {shape}")
    if array.size == 0:
        raise EmptyError(f"{name} is empty: there is nothing to compare")
    bad = ~np.isfinite(array) | (array < 0.0) | (above_zero & (array == 0.0))
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, first, strict=True))
        raise MeasurementError(
            f"{name}: {_count(int(bad.sum()), 'value')} missing, infinite or "
            f"{'not above' if above_zero else 'below'} 0, first at {where}: measure again, or "
            f"leave the {axes[-1]} out on both sides"
        )
    return array


def same_shape(name: str, array: Floats, other: str, expected: Floats) -> None:
    """LengthError unless the shapes are equal."""
    if array.shape != expected.shape:
        raise LengthError(
            f"{name} has shape {array.shape}, {other} {expected.shape}: both must hold the same "
            "measurements in the same order"
        )


def chances(values: Scores) -> Floats:
    """The probability of guessing each sample right, in [0, 1)."""
    array = scores("chance", values)
    bad = np.isnan(array) | (array >= 1.0)
    if bad.any():
        where = np.flatnonzero(bad)
        raise ScoreError(
            f"chance: {_count(where.size, 'sample')} without a probability below 1, {_at(where)}: "
            "write 1 / number of options, and 0 where the answer is generated"
        )
    return array


def paired(
    baseline_scores: Scores,
    candidate_scores: Scores,
    buckets: Iterable[Hashable] | None,
    clusters: Iterable[Hashable] | None,
    max_missing: float,
) -> Paired:
    """Check two sets of scores and bring them into the form the gate computes on.

    Args:
        baseline_scores: One score in [0, 1] a sample; NaN samples are dropped.
        candidate_scores: The same samples in the same order; NaN where missing.
        buckets: One label a sample, or None for a single bucket called "all".
        clusters: One label a sample, or None; a sample whose label is missing is
            a cluster of its own.
        max_missing: The share of candidate scores that may be missing.

    Raises:
        GateInputError: One of its subclasses, naming what is wrong, where, and what to do.
    """
    limit = check_max_missing(max_missing)
    aligned(
        baseline_scores=baseline_scores,
        candidate_scores=candidate_scores,
        buckets=buckets,
        clusters=clusters,
    )
    baseline = scores("baseline_scores", baseline_scores)
    candidate = scores("candidate_scores", candidate_scores)
    size = baseline.size
    same_length("candidate_scores", candidate.size, "baseline_scores", size)
    codes, names = label_codes("buckets", buckets, size)
    groups = cluster_codes(clusters, size)
    if size == 0:
        raise EmptyError("there are no samples to compare: both arrays of scores are empty")
    lost = np.isnan(baseline)
    if lost.all():
        raise EmptyError(
            f"there are no samples to compare: all {size} baseline scores are missing; "
            "record the baseline again"
        )
    kept = np.flatnonzero(~lost)
    gone = np.flatnonzero(lost)
    left = np.bincount(codes[kept], minlength=len(names))
    if not left.all():
        empty = int(np.argmin(left))
        raise EmptyError(
            f"bucket {names[empty]!r} has no samples to compare: all its baseline scores are "
            f"missing, {_at(np.flatnonzero(codes == empty))}: record the baseline again, or leave "
            "the bucket out"
        )
    baseline, candidate = baseline[kept], candidate[kept]
    missing = np.isnan(candidate)
    check_missing(kept[missing], kept.size, limit)
    check_size(kept.size)
    baseline_units = np.rint(baseline * UNIT).astype(np.int64)
    candidate_units = np.rint(np.where(missing, baseline, candidate) * UNIT).astype(np.int64)
    return Paired(
        baseline=baseline_units,
        candidate=candidate_units,
        missing=missing,
        index=kept.astype(np.int64),
        dropped=tuple(gone.tolist()),
        buckets=codes[kept],
        names=names,
        clusters=None if groups is None else groups[kept],
        dropped_buckets=tuple(codes[gone].tolist()),
    )


def check_missing(where: npt.NDArray[np.intp], size: int, limit: float) -> None:
    """MissingScoresError where more than a share of a candidate's scores is missing."""
    if where.size > limit * size:
        raise MissingScoresError(
            f"{where.size} of {size} candidate scores are missing "
            f"({where.size / size:.1%}, allowed {limit:.1%}), {_at(where)}: "
            "run these samples again, or raise max_missing"
        )


def check_size(size: int) -> None:
    """LengthError where sums of scores could overflow."""
    if size > MAX_SAMPLES:
        raise LengthError(
            f"{size} samples are more than the {MAX_SAMPLES} that one comparison takes: "
            "compare a random part of them"
        )


def label_codes(
    name: str, labels: Iterable[Hashable] | None, size: int
) -> tuple[Ints, tuple[str, ...]]:
    """Number the labels in the order of their names.

    Returns:
        The number of each sample's label, and the names, sorted.

    Raises:
        LabelError: A label is missing, empty or not hashable, or two labels share a name.
        LengthError: There is not one label for each sample.
    """
    if labels is None:
        return np.zeros(size, dtype=np.int64), ("all",)
    codes, known = _numbered(name, _listed(name, labels, size))
    bad = [_is_missing(label) or label == "" for label in known]
    if any(bad):
        where = np.flatnonzero(np.array(bad)[codes])
        raise LabelError(
            f"{name}: {_count(where.size, 'sample')} without a label, {_at(where)}: "
            "give every sample a bucket"
        )
    texts = [str(label) for label in known]
    named = dict(zip(texts, known, strict=True))
    for text, label in zip(texts, known, strict=True):
        if named[text] != label:
            raise LabelError(
                f"{name}: {label!r} and {named[text]!r} are different labels of the same name "
                f"{text!r}: use one of them"
            )
    names = tuple(sorted(named))
    if len(names) > MAX_BUCKETS:
        raise LabelError(
            f"{name}: {len(names)} different labels are more than the {MAX_BUCKETS} that one "
            "comparison takes: use coarser ones"
        )
    rank = {text: code for code, text in enumerate(names)}
    return np.array([rank[text] for text in texts], dtype=np.int64)[codes], names


def cluster_codes(labels: Iterable[Hashable] | None, size: int) -> Ints | None:
    """Number the clusters; a sample whose label is missing is a cluster of its own."""
    if labels is None:
        return None
    codes, known = _numbered("clusters", _listed("clusters", labels, size))
    alone = np.flatnonzero(np.array([_is_missing(label) for label in known], dtype=bool)[codes])
    codes[alone] = len(known) + np.arange(alone.size)
    return codes


def _listed(name: str, labels: Iterable[Hashable], size: int) -> list[Hashable]:
    if isinstance(labels, _UNORDERED):
        raise LabelError(
            f"{name} is a {type(labels).__name__}, {_shorten(labels)}, but must hold one label a "
            "sample, in the order of the scores"
        )
    shape = getattr(labels, "shape", (1,))
    if len(shape) != 1:
        raise LengthError(
            f"{name} has shape {shape}, but must hold one label a sample: "
            'join several columns into one text such as "arithmetic/hard"'
        )
    items = _items(labels)
    same_length(name, len(items), "the scores", size)
    return items


def _numbered(name: str, labels: list[Hashable]) -> tuple[Ints, list[Hashable]]:
    """Number the labels in order of appearance."""
    seen: defaultdict[Hashable, int] = defaultdict(count().__next__)
    try:
        codes = np.fromiter(map(seen.__getitem__, labels), dtype=np.int64, count=len(labels))
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise LabelError(
            f"{name} holds labels that cannot be compared (of type {', '.join(kinds)}): use text"
        ) from None
    return codes, list(seen)


def same_length(name: str, size: int, other: str, expected: int) -> None:
    """LengthError unless the sizes are equal."""
    if size != expected:
        raise LengthError(
            f"{name} has {size} entries, {other} {expected}: both must list the same samples in "
            "the same order, with NaN where a score is missing"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _at(where: Ints | npt.NDArray[np.intp]) -> str:
    shown = ", ".join(str(int(i)) for i in where[:_SHOWN])
    more = f" and {where.size - _SHOWN} more" if where.size > _SHOWN else ""
    return f"at index {shown}{more}"


def _shorten(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 80 else text[:77] + "..."
