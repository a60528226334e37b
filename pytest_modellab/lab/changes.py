"""Changes that were measured: a variant's run beside that of what it adapts; nothing is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_modellab.errors import ModellabError
from pytest_modellab.records.graded import applies
from pytest_modellab.tasksets.quality.settling import SCORE

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.declared import VariantSpec
    from pytest_modellab.records.runs import RunRecord
    from pytest_modellab.records.tasks import TaskSet


@dataclasses.dataclass(frozen=True)
class Change:
    """What a variant's samples differ by from its base's.

    Attributes:
        variant: the variant's name.
        base: its base's.
        source: ``accepted`` or ``stored``.
        differences: of the score and of each metric, variant less base, by sample id.
    """

    variant: str
    base: str
    source: str
    differences: Mapping[str, Mapping[str, float]]

    @property
    def words(self) -> str:
        """``nf4 against prompting``."""
        return f"{self.variant} against {self.base}"


def measured(lab: Lab, task_set: TaskSet, metrics: Collection[str]) -> list[Change]:
    """Return the changes that there are runs of, in the order of the configuration.

    Accepted runs are preferred, which are the same everywhere; runs of this machine's store stand
    in for them where they lack a metric.

    Args:
        lab: the session.
        task_set: what was asked.
        metrics: those that are wanted beside the score.
    """
    found = []
    for spec in lab.config.variants.values():
        best: Change | None = None
        for source, run, base in _pairs(lab, spec, task_set):
            differences = _differences(run, base, metrics, task_set)
            if best is None or len(differences) > len(best.differences):
                best = Change(spec.name, base.variant["name"] or "", source, differences)
            if len(differences) > len(metrics):  # the score's are one more
                break
        if best is not None:
            found.append(best)
    return found


def _pairs(
    lab: Lab, spec: VariantSpec, task_set: TaskSet
) -> Iterator[tuple[str, RunRecord, RunRecord]]:
    """A variant's runs, each with its base's."""
    if spec.base is None:
        return
    try:
        own, base = (lab.accepted(name, task_set.name) for name in (spec.name, spec.base))
    except ModellabError:  # a damaged file is no evidence
        own = base = None
    pair = [one.run for one in (own, base) if one is not None]
    if len(pair) == 2 and all(one.task_set["hash"] == task_set.hash for one in pair):
        yield "accepted", pair[0], pair[1]
    try:
        runs = [lab.stored(lab.variant(name), task_set) for name in (spec.name, spec.base)]
    except (ModellabError, OSError):  # its model is not installed here
        return
    run, other = runs
    if run is not None and other is not None:
        yield "stored", run, other


def _differences(
    run: RunRecord, base: RunRecord, metrics: Collection[str], task_set: TaskSet
) -> dict[str, dict[str, float]]:
    """The score's, and those of the metrics that both runs have, within [0, 1].

    Not of the likelihood of replies: in an accepted run each variant has read what it said itself.
    """
    before = {sample.id: sample for sample in base.samples}
    asked = {sample.id: sample for sample in task_set.samples}
    found: dict[str, dict[str, float]] = {}
    for sample in run.samples:
        if (old := before.get(sample.id)) is None:
            continue
        pairs = {
            name: (sample.metrics.get(name), old.metrics.get(name))
            for name in metrics
            if sample.id in asked and applies(name, asked[sample.id], replies=False)
        }
        for name, (new, was) in {SCORE: (sample.score, old.score), **pairs}.items():
            if new is not None and was is not None and 0 <= new <= 1 and 0 <= was <= 1:
                found.setdefault(name, {})[sample.id] = new - was
    return {name: values for name, values in found.items() if len(values) > 1}
