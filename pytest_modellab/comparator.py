"""Run record + reference → comparison, decided by the gate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence

from pytest_modellab import gate
from pytest_modellab.comparison import Assertion, Comparison, Flip
from pytest_modellab.errors import ComparisonRefused, near_misses
from pytest_modellab.records import RunRecord, Sample, SampleResult, TaskSet, VariantSpec

MAX_MISSING = 0.02
"""Share of samples that may be without a score; beyond it there is no verdict and no baseline."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What one assertion may spend of the run's risk of a false block.

    Attributes:
        share: its part of alpha.
        alpha: the run's alpha; the level of every PASS (intersection–union).
    """

    share: float
    alpha: float


def no_regression(
    *,
    assertion: Assertion = "no_regression",
    test: str,
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    against: str,
    task_set: TaskSet,
    capability: str | None,
    margin: float,
    budget: Budget,
) -> Comparison:
    """Judge whether the candidate dropped by more than the margin.

    Args:
        assertion: ``no_drift`` where the reference is the anchor.
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run.
        reference: the run that it is compared with.
        against: the reference in words.
        task_set: the samples of both runs.
        capability: judge this one, as a member of the family of all capabilities; None judges
            the pooled drop.
        margin: the drop allowed, in [0, 1).
        budget: the risk that may be spent.

    Returns:
        The comparison.

    Raises:
        ComparisonRefused: the runs are not comparable, or too many scores are missing.
    """
    notes = check_comparable(spec, candidate, reference, against)
    samples = task_set.samples
    before, after = _scores(reference.samples), _scores(candidate.samples)
    clusters = _clusters(samples)
    figures: tuple[gate.Figures, ...]
    try:
        if capability is None:
            figures = (
                gate.drop(
                    before,
                    after,
                    clusters=clusters,
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                ),
            )
            family = 1
        else:
            if capability not in task_set.capabilities:
                hint = near_misses(capability, task_set.capabilities)
                raise ComparisonRefused(
                    f"capability {capability!r}: task set {task_set.name!r} has no sample of it; "
                    f"{hint}"
                )
            rows = gate.drop_family(
                before,
                after,
                [s.capability for s in samples],
                clusters=clusters,
                margin=margin,
                alpha=budget.share,
                pass_alpha=budget.alpha,
                max_missing=MAX_MISSING,
            )
            figures = tuple(row for row in rows if row.name == capability)
            family = len(rows)
    except gate.GateInputError as error:
        raise ComparisonRefused(
            f"{spec.name!r} against {against} on {task_set.name!r}: {error}"
        ) from error
    return Comparison(
        assertion=assertion,
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=capability,
        verdict=gate.combine(figures),
        figures=figures,
        family=family,
        share=budget.share,
        flips=_flips(samples, candidate.samples, reference.samples, capability),
        notes=notes,
    )


def no_forgetting(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    second: RunRecord,
    against: str,
    task_set: TaskSet,
    targeted: Collection[str],
    margin: float,
    budget: Budget,
) -> Comparison:
    """Judge whether the candidate lost a capability that its base has.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run.
        reference: the base's run that it is compared with.
        second: another run of the base, which decides what capabilities it has.
        against: the reference in words.
        task_set: the samples of all runs.
        targeted: capabilities that the adaptation is meant to change; others than the task set's
            are left aside.
        margin: the drop allowed in one capability, in [0, 1).
        budget: the risk that may be spent.

    Returns:
        The comparison; its figures hold the capabilities in scope, its notes the others.

    Raises:
        ComparisonRefused: the runs are not comparable, too many scores are missing, or the base
            has none of the capabilities.
    """
    notes = check_comparable(spec, candidate, reference, against)
    samples = task_set.samples
    try:
        found = gate.forgetting_family(
            _scores(reference.samples),
            _scores(candidate.samples),
            [s.capability for s in samples],
            second_scores=_scores(second.samples),
            chance=[1.0 / len(s.choices) if s.choices else 0.0 for s in samples],
            targeted=[name for name in targeted if name in task_set.capabilities],
            margin=margin,
            clusters=_clusters(samples),
            alpha=budget.share,
            pass_alpha=budget.alpha,
            max_missing=MAX_MISSING,
        )
    except gate.GateInputError as error:
        raise ComparisonRefused(
            f"{spec.name!r} against {against} on {task_set.name!r}: {error}"
        ) from error
    flips = _flips(samples, candidate.samples, reference.samples, None)
    judged = {s.id for s in samples if s.capability in found.in_scope}
    return Comparison(
        assertion="no_forgetting",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=None,
        verdict=found.verdict,
        figures=found.figures,
        family=len(found.figures),
        share=budget.share,
        flips=tuple(flip for flip in flips if flip.id in judged),
        notes=(*notes, *(f"{name} is not judged: {why}" for name, why in found.out_of_scope)),
    )


def worst_bucket(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord,
    task_set: TaskSet,
    floor: float,
    slice_: Callable[[Sample], str],
    budget: Budget,
) -> Comparison:
    """Judge whether any bucket lies under the floor.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run.
        task_set: its samples.
        floor: least mean score of a bucket, in (0, 1).
        slice_: names a sample's bucket.
        budget: the risk that may be spent.

    Returns:
        The comparison; its figures hold every bucket, the worst first.

    Raises:
        ComparisonRefused: a setting or score is out of range, or too many scores are missing.
    """
    if problem := too_many_missing(candidate):
        raise ComparisonRefused(f"{spec.name!r} on {task_set.name!r}: {problem}")
    samples = task_set.samples
    try:
        rows = gate.floor_family(
            _scores(candidate.samples),
            [slice_(s) for s in samples],
            floor=floor,
            clusters=_clusters(samples),
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
    except gate.GateInputError as error:
        raise ComparisonRefused(f"{spec.name!r} on {task_set.name!r}: {error}") from error
    return Comparison(
        assertion="worst_bucket",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against="floor",
        capability=None,
        verdict=gate.combine(rows),
        figures=tuple(sorted(rows, key=lambda row: (row.candidate, row.name))),
        family=len(rows),
        share=budget.share,
    )


def too_many_missing(record: RunRecord) -> str | None:
    """Say that a run has more samples without a score than :data:`MAX_MISSING`, or None."""
    missing = [sample for sample in record.samples if sample.score is None]
    total = len(record.samples)
    if len(missing) <= MAX_MISSING * total:
        return None
    return (
        f"{len(missing)} of {total} scores are missing ({len(missing) / total:.1%}, allowed "
        f"{MAX_MISSING:.1%}), {missing[0].id!r} first: {missing[0].output}"
    )


def check_comparable(
    spec: VariantSpec, candidate: RunRecord, reference: RunRecord, against: str
) -> tuple[str, ...]:
    """Refuse two runs that were not asked the same in the same way.

    A ``prompted`` variant's prompt is what it adapts, so there a changed prompt is judged; every
    other kind changes one thing alone, and a changed prompt beside it is refused.

    Args:
        spec: the candidate.
        candidate: its run.
        reference: the run that it is compared with.
        against: the reference in words.

    Returns:
        Notes on what differs but does not forbid the comparison.

    Raises:
        ComparisonRefused: names all that differs and what to do.
    """
    name = candidate.task_set["name"]
    differs = []
    for key in ("version", "hash"):
        now, then = candidate.task_set[key], reference.task_set[key]
        if now != then:
            differs.append(f"task set {name!r} has {key} {now}, the reference was run on {then}")
    now_ids = {s.id: s.hash for s in candidate.samples}
    then_ids = {s.id: s.hash for s in reference.samples}
    changed = sorted(
        id_ for id_ in now_ids.keys() | then_ids.keys() if now_ids.get(id_) != then_ids.get(id_)
    )
    if changed:
        shown = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        differs.append(f"{len(changed)} samples were changed, added or removed: {shown}")
    for scorer in sorted(candidate.scorers.keys() & reference.scorers.keys()):
        now_version, then_version = candidate.scorers[scorer], reference.scorers[scorer]
        if now_version != then_version:
            differs.append(f"scorer {scorer!r} has version {now_version}, was {then_version}")
    notes = []
    if candidate.fingerprint.prompt != reference.fingerprint.prompt:
        change = (
            f"the prompt has hash {candidate.fingerprint.prompt}, "
            f"the reference's {reference.fingerprint.prompt}"
        )
        if spec.kind == "prompted":
            notes.append(change)
        else:
            differs.append(change)
    if differs:
        raise ComparisonRefused(
            f"{spec.name!r} cannot be compared with {against} on {name!r}: "
            f"{'; '.join(differs)}. Record it again if the change is wanted: "
            "pytest --modellab-update"
        )
    if candidate.fingerprint.tokenizer != reference.fingerprint.tokenizer:
        notes.append("the tokenizer or its chat template is not the reference's")
    now_versions = candidate.fingerprint.settings.get("versions", {})
    then_versions = reference.fingerprint.settings.get("versions", {})
    here = {**now_versions, **candidate.environment}
    there = {**then_versions, **reference.environment}
    keys = {"device", "platform", "python", "threads", "token_budget", "torch", "transformers"}
    notes += [
        f"{key}: {here.get(key)} here, {there.get(key)} in the reference"
        for key in sorted(keys | (now_versions.keys() & then_versions.keys()))
        if here.get(key) != there.get(key)
    ]
    return tuple(notes)


def _scores(results: Sequence[SampleResult]) -> list[float]:
    return [math.nan if result.score is None else result.score for result in results]


def _clusters(samples: Sequence[Sample]) -> list[str] | None:
    if not any(s.cluster for s in samples):
        return None
    return [f"cluster {s.cluster}" if s.cluster else f"sample {s.id}" for s in samples]


def _flips(
    samples: Sequence[Sample],
    after: Sequence[SampleResult],
    before: Sequence[SampleResult],
    capability: str | None,
) -> tuple[Flip, ...]:
    flips = [
        Flip(
            id=sample.id,
            bucket=sample.bucket,
            before=old.score,
            after=new.score,
            before_output=old.output,
            after_output=new.output,
        )
        for sample, new, old in zip(samples, after, before, strict=True)
        if old.score is not None
        and new.score != old.score
        and capability in (None, sample.capability)
    ]
    return tuple(sorted(flips, key=lambda flip: (not flip.lost, flip.id)))
