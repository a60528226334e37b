"""A comparison of variants by another figure than the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.errors import ModellabError
from pytest_modellab.judging.scores import judged_by, narrowed, under
from pytest_modellab.records.graded import LIKELIHOOD, is_reply, left_out
from pytest_modellab.records.tasks import TaskSet

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.tradeoff.entry import Entry


def by_metric(
    lab: Lab,
    entries: Sequence[Entry],
    task_set: TaskSet,
    reference: str,
    metric: str,
    notes: list[str],
    *,
    stored: bool,
) -> tuple[list[Entry], TaskSet]:
    """Reduce runs to the samples that a metric tells of, the same of all.

    Under ``likelihood`` every variant reads the reference's replies, which runs those that have
    not; where a run is an accepted one of another machine, nobody reads, and the samples of
    multiple choice are compared.

    Args:
        lab: the session.
        entries: the variants.
        task_set: all that they were asked.
        reference: the variant that the others are compared with.
        metric: the metric.
        notes: what a reader must know; more is added.
        stored: True to run nothing.

    Returns:
        The variants whose runs have the metric, and the samples.

    Raises:
        ComparisonRefused: the metric tells of no sample, or the reference's run lacks it.
    """
    base = next(entry for entry in entries if entry.spec.name == reference)
    found, known = list(entries), None
    if metric == LIKELIHOOD and any(is_reply(sample) for sample in task_set.samples):
        if stored or any(entry.source == "accepted" for entry in entries):
            notes.append(
                "likelihood is compared on multiple choice: a run of another machine is among "
                "them, which reads no replies; --no-cache runs all of them here"
            )
        else:
            order = [entry.spec.name for entry in entries]
            try:
                found = [*_read(lab, entries, task_set, base, notes)]
            finally:
                lab.release()
            found.sort(key=lambda entry: order.index(entry.spec.name))
            known = next(entry for entry in found if entry.spec.name == reference).record
    asked = judged_by(metric, task_set, known)
    kept = []
    for entry in found:
        record = narrowed(entry.record, asked, task_set)
        try:
            under(record, metric, asked)
        except ModellabError as error:
            if entry.spec.name == reference:
                raise
            notes.append(f"{entry.spec.name} is left out: {error}")
            continue
        kept.append(dataclasses.replace(entry, record=record))
    if silent := left_out(metric, asked.samples, task_set.samples):
        notes.append(silent)
    return kept, asked


def _read(
    lab: Lab, entries: Sequence[Entry], task_set: TaskSet, base: Entry, notes: list[str]
) -> Iterator[Entry]:
    """The variants that could read the reference's replies, with what they found of them."""
    known = {entry.spec.name: entry for entry in entries}
    for name in lab.together(known):
        entry = known[name]
        try:
            record = lab.read(lab.variant(name), task_set, base.record)
        except ModellabError as error:
            if entry is base:
                raise
            notes.append(f"{name} is left out: {str(error).partition(chr(10))[0]}")
            continue
        yield dataclasses.replace(entry, record=record)
