"""What is asked of a candidate: the same question, whoever asks and whichever assertion answers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Iterator, Sequence

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, GateUsageError
from pytest_modellab.gate.errors import MissingScoresError
from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.judging.comparable import check_comparable
from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.judging.scores import (
    Answers,
    clusters_of,
    flips_between,
    judged_by,
    scores_of,
    task_set_notes,
    under,
)
from pytest_modellab.judging.words import Words
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.graded import left_out
from pytest_modellab.records.pairing import in_order
from pytest_modellab.records.preprocessing import Unlike, unlike
from pytest_modellab.records.runs import NOT_KEPT, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.stages import Staged


@dataclasses.dataclass(frozen=True)
class Question:
    """One assertion of one candidate on one task set, before it is judged.

    Attributes:
        assertion: the rule that is to be applied, for example ``no_regression``.
        test: the test's node id, or the command that asks.
        spec: the candidate.
        task_set: what it was asked.
        against: what it is compared with, in words.
        budget: the risk that may be spent.
        candidate: its run, or what makes it stage by stage; None where its answers are not judged.
        reference: the run that it is compared with, or None where there is none.
        metric: a figure of the samples that stands in for their scores, for example
            ``recall@10`` or ``probability``; of whole runs only, and of the samples alone that it
            tells something of.
        prompt_may_differ: True where strategies are compared, not changes of one: a changed prompt
            is noted then, whatever the candidate's kind adapts.
        words: what reports say of an added assertion; None for a built-in one.
    """

    assertion: str
    test: str
    spec: VariantSpec
    task_set: TaskSet
    against: str
    budget: Budget
    candidate: RunRecord | Staged | None = None
    reference: RunRecord | None = None
    metric: str | None = None
    prompt_may_differ: bool = False
    words: Words | None = None

    @property
    def samples(self) -> Sequence[Sample]:
        """The samples that are judged, in the order of every run's."""
        return self.asked.samples

    @functools.cached_property
    def asked(self) -> TaskSet:
        """The task set with the samples alone that the metric tells something of.

        Raises:
            ComparisonRefused: there is none.
        """
        return judged_by(self.metric, self.task_set, self.reference)

    @functools.cached_property
    def clusters(self) -> list[str] | None:
        """The cluster of each sample, or None where no sample shares one."""
        return clusters_of(self.samples)

    @functools.cached_property
    def answers(self) -> Answers:
        """The candidate's scores, all of them or as far as the gate asks.

        Raises:
            ComparisonRefused: the run lacks the metric.
        """
        candidate = self.candidate
        assert candidate is not None  # whoever judges answers gives them
        if self.metric is not None:
            assert isinstance(candidate, RunRecord)  # only whole runs have further figures
            candidate = under(candidate, self.metric, self.asked, self.task_set)
        return Answers(candidate, self.asked)

    @property
    def after(self) -> RunRecord:
        """The candidate's run; a sample that was not asked yet has no score."""
        return self.answers.whole()

    @property
    def before(self) -> RunRecord:
        """The reference's run, of the same samples in the same order.

        Raises:
            ComparisonRefused: the two runs were not asked the same in the same way.
            GateUsageError: there is no reference.
        """
        return self._compared[0]

    @functools.cached_property
    def scores_before(self) -> list[float]:
        """The reference's scores, NaN where there is none; raises as :attr:`before`."""
        return scores_of(self.before.samples)

    def flips(
        self, capability: str | None = None, *, among: Collection[str] | None = None
    ) -> tuple[Flip, ...]:
        """Return the samples whose score changed; of a graded metric those that moved most.

        Args:
            capability: of this one alone; None for all.
            among: of these capabilities alone.
        """
        asked = among if capability is None else (capability,)
        return flips_between(
            self.samples, self.answers.record, self.before, asked, metric=self.metric
        )

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Say of what the gate refuses whom it concerns.

        Raises:
            ComparisonRefused: the gate refused scores or settings.
        """
        try:
            yield
        except gate.GateInputError as error:
            judged = self.candidate is not None
            against = "" if judged and self.reference is None else f" against {self.against}"
            on = f" on {self.task_set.name!r}" if judged else ""
            why = self._first_missing if isinstance(error, MissingScoresError) else ""
            raise ComparisonRefused(f"{self.spec.name!r}{against}{on}: {error}{why}") from error

    def comparison(
        self,
        figures: Sequence[gate.Figures] = (),
        *,
        ratio: RatioResult | None = None,
        capability: str | None = None,
        family: int = 1,
        flips: Sequence[Flip] = (),
        notes: Sequence[str] = (),
    ) -> Comparison:
        """Return the answer: the figures, and all that is the same of every assertion.

        Args:
            figures: the buckets that decide the verdict.
            ratio: what the verdict rests on in place of figures.
            capability: the capability that was judged, or None for all samples or all buckets.
            family: how many buckets the false-block budget was shared by.
            flips: samples whose score changed; see :meth:`flips`.
            notes: what a reader must know beside what holds of the runs and the task set.
        """
        return Comparison(
            assertion=self.assertion,
            test=self.test,
            task_set=self.task_set.name,
            candidate=self.spec.name,
            kind=self.spec.kind,
            against=self.against,
            capability=capability,
            verdict=gate.combine(figures) if ratio is None else ratio.verdict,
            figures=tuple(figures),
            family=family,
            share=self.budget.share,
            flips=tuple(flips),
            notes=(*self._notes, *notes),
            looked=None if self.candidate is None else self.answers.looked,
            ratio=ratio,
            metric=self.metric,
            words=self.words,
            preprocessing=self._unlike,
        )

    @functools.cached_property
    def _compared(self) -> tuple[RunRecord, tuple[str, ...]]:
        """The reference, and what differs between the runs but does not forbid to compare them."""
        reference = self.reference
        if reference is None:
            raise GateUsageError(
                f"{self.assertion} compares with another run; name its variant: against=…"
            )
        if self.metric is not None:
            reference = under(reference, self.metric, self.asked, self.task_set)
        notes = check_comparable(
            self.spec,
            self.after,
            reference,
            self.against,
            prompt_may_differ=self.prompt_may_differ,
        )
        return in_order(reference, self.samples), notes

    @property
    def _first_missing(self) -> str:
        """Why the candidate has no score, of the first sample without one."""
        silent = (one for one in self.answers.record.samples if one.score is None)
        return next((f"; {one.id!r} first: {one.output}" for one in silent), "")

    @property
    def _unlike(self) -> tuple[Unlike, ...]:
        """Where media are not prepared as for the reference."""
        if self.candidate is None or self.reference is None:
            return ()
        if any(sample.output == NOT_KEPT for sample in self.reference.samples):
            return ()  # an anchor: how it was prepared is not kept
        here, there = (run.fingerprint.settings for run in (self.answers.record, self.reference))
        return unlike(here, there, self.against)

    @property
    def _notes(self) -> tuple[str, ...]:
        if self.candidate is None:  # nothing is said of answers that are not judged
            return ()
        differs = () if self.reference is None else self._compared[1]
        silent = left_out(self.metric, self.samples, self.task_set.samples) if self.metric else ""
        return (*differs, *([silent] if silent else []), *task_set_notes(self.task_set))
