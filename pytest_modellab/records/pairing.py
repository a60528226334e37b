"""A run's samples beside a task set's: by id, never by place."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.records.runs import RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample

SHOWN = 5
"""How many ids a message names."""


def paired(
    record: RunRecord, samples: Sequence[Sample], *, partly: bool = False
) -> tuple[SampleResult, ...]:
    """Return a run's results in the order of a task set's samples.

    Args:
        record: the run, in any order.
        samples: what it was asked.
        partly: True where some of the samples may not have been asked yet; they are left out.

    Raises:
        ComparisonRefused: a sample stands in the run twice, is in only one of the two, or was
            changed since; the message names the samples.
    """
    found = _by_id(record)
    known = {sample.id for sample in samples}
    wrong = (
        ("not in the run", [s.id for s in samples if s.id not in found and not partly]),
        ("only in the run", [id_ for id_ in found if id_ not in known]),
        (
            "changed since",
            [s.id for s in samples if s.id in found and found[s.id].hash != s.content_hash],
        ),
    )
    if problems := [f"{len(ids)} {words}: {_some(ids)}" for words, ids in wrong if ids]:
        raise ComparisonRefused(
            f"{named(record)} is not one of the {len(samples)} samples asked for: "
            f"{'; '.join(problems)}. {_mend(record)}"
        )
    return tuple(found[s.id] for s in samples if s.id in found)


def in_order(record: RunRecord, samples: Sequence[Sample]) -> RunRecord:
    """Return a run with its results in the order of a task set's samples.

    Raises:
        ComparisonRefused: as :func:`paired`.
    """
    return dataclasses.replace(record, samples=paired(record, samples))


def places(record: RunRecord, other: RunRecord) -> tuple[int, ...] | None:
    """Return where each of a run's samples stands in another run.

    Args:
        record: the run.
        other: a run of the same samples, in any order.

    Returns:
        One index a sample, or None where the samples are not the same.

    Raises:
        ComparisonRefused: a sample stands in one of the runs twice.
    """
    found, wanted = _by_id(other), _by_id(record)
    if {i: s.hash for i, s in found.items()} != {i: s.hash for i, s in wanted.items()}:
        return None
    at = {id_: place for place, id_ in enumerate(found)}
    return tuple(at[id_] for id_ in wanted)


def _by_id(record: RunRecord) -> dict[str, SampleResult]:
    found = {result.id: result for result in record.samples}
    if len(found) < len(record.samples):
        counted = Counter(result.id for result in record.samples)
        double = [id_ for id_, count in counted.items() if count > 1]
        raise ComparisonRefused(
            f"{named(record)} has {len(double)} samples twice: {_some(double)}. {_mend(record)}"
        )
    return found


def named(record: RunRecord) -> str:
    """Return a run in words, for messages."""
    return f"the run of {record.variant['name']!r} on {record.task_set['name']!r}"


def _mend(record: RunRecord) -> str:
    return (
        "Run it again, and where it was accepted record it again: modellab accept "
        f"{record.variant['name']} --task-set {record.task_set['name']}"
    )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(id_) for id_ in ids[:SHOWN])
    return f"{shown}, …" if len(ids) > SHOWN else shown
