"""Run record + reference → comparison, decided by the gate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from pytest_modellab import gate
from pytest_modellab.comparison import Assertion, Comparison, Flip, Looked
from pytest_modellab.errors import ComparisonRefused, near_misses
from pytest_modellab.records import (
    EXACT,
    INDEX_CUTOFF,
    INDEX_RECALL,
    RunRecord,
    Sample,
    SampleResult,
    TaskSet,
    VariantSpec,
)
from pytest_modellab.scorers import similarity
from pytest_modellab.sequential import SEED, Staged

if TYPE_CHECKING:
    from pytest_modellab.probes.latency import Timings

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
    candidate: RunRecord | Staged,
    reference: RunRecord,
    against: str,
    task_set: TaskSet,
    capability: str | None,
    margin: float,
    budget: Budget,
    metric: str | None = None,
) -> Comparison:
    """Judge whether the candidate dropped by more than the margin.

    Args:
        assertion: ``no_drift`` where the reference is the anchor.
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run, or what makes it stage by stage.
        reference: the run that it is compared with.
        against: the reference in words.
        task_set: the samples of both runs.
        capability: judge this one, as a member of the family of all capabilities; None judges
            the pooled drop.
        margin: the drop allowed, in [0, 1).
        budget: the risk that may be spent.
        metric: judge this figure of the samples instead of their scores; not in stages.

    Returns:
        The comparison.

    Raises:
        ComparisonRefused: the runs are not comparable, or too many scores are missing.
    """
    index_notes: tuple[str, ...] = ()
    if isinstance(candidate, RunRecord):  # what ranks is never run in stages
        index_notes = (
            *_index_notes(task_set.samples, candidate, capability),
            *(f"of {against}: {n}" for n in _index_notes(task_set.samples, reference, capability)),
        )
    if metric is not None:
        assert isinstance(candidate, RunRecord)  # only whole runs have further figures
        candidate, reference = under(candidate, metric), under(reference, metric)
    answers = _Answers(candidate, task_set)
    notes = check_comparable(spec, answers.whole(), reference, against)
    samples = task_set.samples
    before = _scores(reference.samples)
    clusters = _clusters(samples)
    figures: tuple[gate.Figures, ...]
    family = 1 if capability is None else len(task_set.capabilities)
    try:
        if capability is not None and capability not in task_set.capabilities:
            hint = near_misses(capability, task_set.capabilities)
            raise ComparisonRefused(
                f"capability {capability!r}: task set {task_set.name!r} has no sample of it; {hint}"
            )
        if answers.stages is not None:
            figures = answers.stop(
                gate.sequential_family(
                    before,
                    answers,
                    None if capability is None else [s.capability for s in samples],
                    only=capability,
                    clusters=clusters,
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=answers.stages,
                )
            )
        elif capability is None:
            figures = (
                gate.drop(
                    before,
                    answers(1),
                    clusters=clusters,
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                ),
            )
        else:
            rows = gate.drop_family(
                before,
                answers(1),
                [s.capability for s in samples],
                clusters=clusters,
                margin=margin,
                alpha=budget.share,
                pass_alpha=budget.alpha,
                max_missing=MAX_MISSING,
            )
            figures = tuple(row for row in rows if row.name == capability)
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
        flips=_flips(samples, answers.record, reference, capability),
        notes=(
            *notes,
            *_of_task_set(task_set),
            *index_notes,
        ),
        looked=answers.looked,
        metric=metric,
    )


def no_forgetting(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord | Staged,
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
        candidate: its run, or what makes it stage by stage.
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
    answers = _Answers(candidate, task_set)
    notes = check_comparable(spec, answers.whole(), reference, against)
    samples = task_set.samples
    before = _scores(reference.samples)
    try:
        found = gate.forgetting_family(
            before,
            before if answers.stages is not None else answers(1),  # the scope is the base's alone
            [s.capability for s in samples],
            second_scores=_scores(second.samples),
            chance=[_chance(s) for s in samples],
            targeted=[name for name in task_set.capabilities if name in targeted],
            margin=margin,
            clusters=_clusters(samples),
            alpha=budget.share,
            pass_alpha=budget.alpha,
            max_missing=MAX_MISSING,
        )
        figures = found.figures
        if answers.stages is not None:
            kept = [i for i, s in enumerate(samples) if s.capability in found.in_scope]
            figures = answers.stop(
                gate.sequential_family(
                    [before[i] for i in kept],
                    answers.only(kept),
                    [samples[i].capability for i in kept],
                    clusters=_clusters([samples[i] for i in kept]),
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=[answers.stages[i] for i in kept],
                )
            )
    except gate.GateInputError as error:
        raise ComparisonRefused(
            f"{spec.name!r} against {against} on {task_set.name!r}: {error}"
        ) from error
    flips = _flips(samples, answers.record, reference, None)
    judged = {s.id for s in samples if s.capability in found.in_scope}
    return Comparison(
        assertion="no_forgetting",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=None,
        verdict=gate.combine(figures),
        figures=figures,
        family=len(found.in_scope),
        share=budget.share,
        flips=tuple(flip for flip in flips if flip.id in judged),
        notes=(
            *notes,
            *_of_task_set(task_set),
            *(f"{name} is not judged: {why}" for name, why in found.out_of_scope),
            *(
                f"target {name!r} is no capability of {task_set.name!r}"
                for name in sorted(set(targeted) - set(task_set.capabilities))
            ),
        ),
        looked=answers.looked,
    )


def no_slowdown(
    *,
    test: str,
    spec: VariantSpec,
    candidate: Timings,
    reference: Timings,
    workers: int,
    against: str,
    task_set: TaskSet,
    limit: float,
    budget: Budget,
) -> Comparison:
    """Judge whether the candidate takes longer than its reference by more than the limit.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its timings.
        reference: the reference's, taken in turns with them.
        workers: how many xdist workers shared the machine; 0 outside xdist.
        against: the reference in words.
        task_set: whose prompts were asked.
        limit: the largest ratio allowed, above 0.
        budget: the risk that may be spent.

    Returns:
        The comparison; inconclusive where other xdist workers shared the machine.

    Raises:
        ComparisonRefused: a limit that is none.
    """
    try:
        ratio = gate.latency_ratio(
            candidate.end_to_end,
            reference.end_to_end,
            limit=limit,
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
    except gate.GateInputError as error:
        raise ComparisonRefused(f"{spec.name!r} against {against}: {error}") from error
    if workers:
        ratio = dataclasses.replace(
            ratio,
            verdict="inconclusive",
            reason="other xdist workers shared the machine: judge latency with -n0",
        )
    return Comparison(
        assertion="no_slowdown",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=None,
        verdict=ratio.verdict,
        figures=(),
        family=1,
        share=budget.share,
        ratio=ratio,
    )


def worst_bucket(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord | Staged,
    task_set: TaskSet,
    floor: float,
    slice_: Callable[[Sample], str],
    budget: Budget,
    metric: str | None = None,
) -> Comparison:
    """Judge whether any bucket lies under the floor.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run, or what makes it stage by stage.
        task_set: its samples.
        floor: least mean score of a bucket, in (0, 1).
        slice_: names a sample's bucket.
        budget: the risk that may be spent.
        metric: judge this figure of the samples instead of their scores; not in stages.

    Returns:
        The comparison; its figures hold every bucket, the worst first.

    Raises:
        ComparisonRefused: a setting or score is out of range, or too many scores are missing.
    """
    if metric is not None:
        assert isinstance(candidate, RunRecord)  # only whole runs have further figures
        candidate = under(candidate, metric)
    answers = _Answers(candidate, task_set)
    samples = task_set.samples
    labels, clusters = [slice_(s) for s in samples], _clusters(samples)
    try:
        if answers.stages is not None:
            rows = answers.stop(
                gate.sequential_floor(
                    answers,
                    labels,
                    floor=floor,
                    clusters=clusters,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=answers.stages,
                )
            )
        elif problem := too_many_missing(answers.record):
            raise ComparisonRefused(f"{spec.name!r} on {task_set.name!r}: {problem}")
        else:
            rows = gate.floor_family(
                answers(1),
                labels,
                floor=floor,
                clusters=clusters,
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
        family=len(set(labels)),
        share=budget.share,
        notes=_of_task_set(task_set),
        looked=answers.looked,
        metric=metric,
    )


def _of_task_set(task_set: TaskSet) -> tuple[str, ...]:
    return (f"{task_set.name}: {task_set.note.removesuffix('.')}",) if task_set.note else ()


def under(record: RunRecord, metric: str) -> RunRecord:
    """Return a run whose scores are another figure of its samples.

    Args:
        record: a run with further figures, see :class:`SampleResult`.
        metric: the figure's name.

    Raises:
        ComparisonRefused: the run lacks it, or it lies outside [0, 1].
    """
    known = sorted({name for result in record.samples for name in result.metrics})
    where = f"the run of {record.variant['name']!r} on {record.task_set['name']!r}"
    if metric not in known:
        raise ComparisonRefused(
            f"metric {metric!r}: {where} has none; {near_misses(metric, known)}. A metric of "
            "rankings: name it in the task set's metrics, and accept accepted runs again"
        )
    values = {result.id: result.metrics.get(metric) for result in record.samples}
    for id_, value in values.items():
        if value is not None and not 0 <= value <= 1:
            raise ComparisonRefused(
                f"metric {metric!r}: {where} has {value} for {id_!r}, outside [0, 1]; judge the "
                "score, which is the same figure mapped to that range"
            )
    return dataclasses.replace(
        record,
        samples=tuple(dataclasses.replace(r, score=values[r.id]) for r in record.samples),
    )


def _index_notes(
    samples: Sequence[Sample], record: RunRecord, capability: str | None
) -> tuple[str, ...]:
    """Tell what an approximate index costs, so that it is not mistaken for the model's doing.

    A scorer need not list its own figure among the further ones: it is the sample's score.
    """
    chosen = {s.id for s in samples if capability in (None, s.capability)}
    results = [r for r in record.samples if r.id in chosen and INDEX_RECALL in r.metrics]
    if not results:
        return ()
    name = next(key for key in sorted(results[0].metrics) if key.startswith(EXACT))
    recall, exact, own = (
        math.fsum(values) / len(results)
        for values in (
            [r.metrics[INDEX_RECALL] for r in results],
            [r.metrics[name] for r in results],
            [r.metrics.get(name.removeprefix(EXACT), r.score or 0.0) for r in results],
        )
    )
    return (
        f"the approximate index finds {recall:.3f} of the exact best {INDEX_CUTOFF} and changes "
        f"{name.removeprefix(EXACT)} by {own - exact:+.3f}; exact search over the same vectors "
        f"scores {exact:.3f}: what is missing beyond that is the model's",
    )


class _Answers:
    """A candidate's scores, all of them or as far as the gate asks.

    Args:
        candidate: the run, or what makes it stage by stage.
        task_set: the samples.
    """

    def __init__(self, candidate: RunRecord | Staged, task_set: TaskSet) -> None:
        self._candidate = candidate
        self._task_set = task_set
        self.looked: Looked | None = None
        if isinstance(candidate, RunRecord):
            self.stages: tuple[int, ...] | None = None
            self.record = candidate
        else:
            self.stages = candidate.stages.of
            self.record = candidate.answer(1)

    def __call__(self, look: int) -> list[float]:
        """Return the scores after a look, NaN where there is none or not yet."""
        if isinstance(self._candidate, Staged):
            self.record = self._candidate.answer(look)
        return _scores(self.whole().samples)

    def only(self, indices: Sequence[int]) -> Callable[[int], list[float]]:
        """Return the same for some of the samples."""

        def scores(look: int) -> list[float]:
            found = self(look)
            return [found[i] for i in indices]

        return scores

    def whole(self) -> RunRecord:
        """Return the record with every sample, those not asked yet without a score."""
        found = {result.id: result for result in self.record.samples}
        return dataclasses.replace(
            self.record,
            samples=tuple(
                found.get(s.id) or SampleResult(s.id, s.content_hash, None, "(not asked)", 0, 0)
                for s in self._task_set.samples
            ),
        )

    def stop(self, result: gate.SequentialResult) -> tuple[gate.Figures, ...]:
        """Note where the gate stopped, and return its figures."""
        total = len(self._task_set.samples)
        self.looked = Looked(
            look=result.look,
            looks=result.looks,
            used=len(self.record.samples),
            total=total,
            certain=result.certain,
            seed=SEED,
        )
        return result.figures


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

    Where the prompt is what the candidate's kind adapts, a changed prompt is judged; every other
    kind changes one thing alone, and a changed prompt beside it is refused.

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
    differs, notes = differences(spec, candidate, reference)
    if differs:
        name = candidate.task_set["name"]
        raise ComparisonRefused(
            f"{spec.name!r} cannot be compared with {against} on {name!r}: "
            f"{'; '.join(differs)}. Record the reference again if the change "
            f"is wanted: modellab accept {reference.variant['name']} --task-set {name}"
        )
    return notes


def differences(
    spec: VariantSpec, candidate: RunRecord, reference: RunRecord
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List what forbids to compare two runs, and what does not but must be known."""
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
        if spec.adapts_prompt:
            notes.append(change)
        else:
            differs.append(change)
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
    return tuple(differs), tuple(notes)


def _chance(sample: Sample) -> float:
    """The score of guessing; a pair's other text is no choice."""
    if sample.scorer == similarity.NAME:
        return similarity.CHANCE
    return 1.0 / len(sample.choices) if isinstance(sample.target, int) else 0.0


def _scores(results: Sequence[SampleResult]) -> list[float]:
    return [math.nan if result.score is None else result.score for result in results]


def _clusters(samples: Sequence[Sample]) -> list[str] | None:
    if not any(s.cluster for s in samples):
        return None
    return [f"cluster {s.cluster}" if s.cluster else f"sample {s.id}" for s in samples]


def _flips(
    samples: Sequence[Sample],
    candidate: RunRecord,
    reference: RunRecord,
    capability: str | None,
) -> tuple[Flip, ...]:
    after = {result.id: result for result in candidate.samples}
    flips = [
        Flip(
            id=sample.id,
            bucket=sample.bucket,
            before=old.score,
            after=new.score,
            before_output=old.output,
            after_output=new.output,
        )
        for sample, old in zip(samples, reference.samples, strict=True)
        if (new := after.get(sample.id)) is not None
        and old.score is not None
        and new.score != old.score
        and capability in (None, sample.capability)
    ]
    return tuple(sorted(flips, key=lambda flip: (not flip.lost, flip.id)))
