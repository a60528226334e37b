"""How a test's question is put to the gate: the mechanics behind its methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any

from pytest_modellab.config.find import named
from pytest_modellab.errors import ComparisonRefused, GateUsageError, VerdictInconclusive
from pytest_modellab.lab.declared import naming
from pytest_modellab.lab.lab import Lab
from pytest_modellab.plugin import overrides, updating
from pytest_modellab.plugin.under_test import Candidate
from pytest_modellab.records.graded import GRADED, LIKELIHOOD, applies, check_margin, unread
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.asked import Budget, Override
    from pytest_modellab.records.declared import TaskSetConfig
    from pytest_modellab.runs.stages import Staged


class Asking:
    """Asks one question for one test, tells what was judged, and raises where it must not ship.

    Args:
        lab: the session.
        test: the test's node id.
        task_set: what the candidate is judged on.
        budget: the part of the run's risk that this test's assertion may spend.
        judged: called with the comparison before anything is raised.
        accepted: the variants whose runs on this task set ``--modellab-update`` accepts in this
            session; their runs are compared with, whichever test comes first.
        overridden: the rules of its budget that the test set.
        again: the node id by which the test is reached from where pytest was started; left out,
            ``test``.
    """

    def __init__(
        self,
        lab: Lab,
        test: str,
        task_set: TaskSet,
        budget: Budget,
        judged: Callable[[Comparison, RunSummary | None], None],
        accepted: Set[str] = frozenset(),
        overridden: tuple[Override, ...] = (),
        again: str | None = None,
    ) -> None:
        self._lab = lab
        self._accepted = accepted
        self._test = test
        self._again = again or test
        self._task_set = task_set
        self._budget = budget
        self._judged = judged
        self._overridden = overridden
        self._spent = False
        self._against = ""  # the variant whose accepted run is compared with

    def _begin(self, candidate: Candidate, against: str | None = None) -> str:
        """Spend the budget; returns the name of the variant that is compared with."""
        if self._spent:
            raise GateUsageError(
                f"{self._test}: asks the gate twice, but its share of the run's risk pays for one "
                "verdict; write a test for each"
            )
        self._spent = True
        if self._lab.settings.update:
            self._lab.accept(self._variant(candidate.name), self._task_set)
        name = candidate.name
        if against is not None:
            name = self._base(candidate) if against == "base" else str(against)
            self._lab.spec(name)
        # before an accepted run is asked for: a variant that cannot be run has none to be recorded
        self._variant(candidate.name)
        self._against = name
        return name

    def _base(self, candidate: Candidate) -> str:
        if candidate.spec.base is None:
            raise ComparisonRefused(
                f"variant {candidate.name!r} has no base; name a variant: against=…, or select "
                "variants with a base: @pytest.mark.variants(kind=…)"
            )
        return candidate.spec.base

    def _run(
        self,
        candidate: Candidate,
        metric: str | None = None,
        reference: RunRecord | None = None,
    ) -> RunRecord | Staged:
        """What a variant is judged by; a further figure only a whole run has.

        Under ``likelihood`` the candidate reads the replies of the reference.
        """
        if metric is None:
            return self._lab.candidate(self._variant(candidate.name), self._task_set)
        return self._record(candidate.name, metric, reference)

    def _record(
        self, name: str, metric: str | None = None, reference: RunRecord | None = None
    ) -> RunRecord:
        """A variant's run, with what it reads under ``likelihood``."""
        variant = self._variant(name)
        if metric != LIKELIHOOD or reference is None:
            return self._lab.record(variant, self._task_set)
        return self._lab.read(variant, self._task_set, reference)

    def _own(self, name: str, metric: str | None) -> RunRecord:
        """A variant's run as it would be accepted: it reads what it said itself."""
        return self._record(name, metric, self._record(name))

    def _variant(self, name: str) -> Resolved:
        return self._lab.variant(name, self._task_set)

    def _baseline(self, name: str, metric: str | None = None) -> Baseline:
        """A variant's accepted run.

        Raises:
            BaselineMissing: there is none, or it was recorded without the metric.
            VariantLoadError: there is none, and no device to record one on.
        """
        if self._lab.accepted(name, self._task_set.name) is None:
            self._check_device(name)
        baseline = self._lab.baseline(name, self._task_set.name)
        self._check_kept(name, baseline.run, metric)
        return baseline

    def _check_device(self, name: str) -> None:
        """Raise VariantLoadError where a run that is to be recorded finds its device missing."""
        from pytest_modellab.engines import device

        variant = self._variant(name)
        if self._lab.stored(variant, self._task_set) is None:
            with naming(name, self._task_set.name):
                device.ready(variant.plan.device)

    def _anchor(self, name: str, metric: str | None) -> Baseline:
        """A variant's accepted run, whose anchor has a metric, too; raises as :meth:`_baseline`."""
        baseline = self._baseline(name, metric)
        if baseline.anchor is not None:
            self._check_kept(name, baseline.anchor_run(), metric, anchor=True)
        return baseline

    def _check_kept(
        self, name: str, run: RunRecord, metric: str | None, *, anchor: bool = False
    ) -> None:
        """Raise BaselineMissing where a graded metric was not kept, which every run has now."""
        if metric == LIKELIHOOD and any(sample.media for sample in self._task_set.samples):
            self._record(name, metric, run)  # says so where the variant tells no likelihoods
        from pytest_modellab.judging.scores import check_told

        check_told(run, metric)
        told = metric in GRADED and any(applies(metric, s) for s in self._task_set.samples)
        if told and not any(metric in sample.metrics for sample in run.samples):
            raise self._lab.missing_metric(name, self._task_set.name, str(metric), anchor=anchor)
        if metric == LIKELIHOOD and unread(run, self._task_set.samples):
            what = f"{metric} of its replies"
            raise self._lab.missing_metric(name, self._task_set.name, what, anchor=anchor)

    def _reference(self, candidate: Candidate, name: str, metric: str | None) -> RunRecord:
        """The accepted run of a variant.

        In update mode another's may be the one that this session accepts; of the candidate itself
        it is the one that was accepted before, so that what is given up is seen.
        """
        if not self._lab.settings.update or name not in self._accepted:
            return self._baseline(name, metric).run
        before = None
        if name == candidate.name:
            before = self._lab.accepted_before(name, self._task_set.name)
        return self._own(name, metric) if before is None else before.run

    def _words(self, candidate: Candidate, name: str) -> str:
        from pytest_modellab.baselines.accepted import OWN_BASELINE

        return OWN_BASELINE if name == candidate.name else f"baseline of {name}"

    @property
    def _declared(self) -> TaskSetConfig:
        return self._lab.config.task_sets[self._task_set.name]

    def _margin(
        self, asked: float | None, *, capability: bool, metric: str | None
    ) -> tuple[float, tuple[Override, ...]]:
        """What may be lost, and whether that is what the project declares.

        Args:
            asked: the test's own margin, or None.
            capability: whether one capability's drop is judged, or the mean's.
            metric: what is judged; None for the score.

        Raises:
            GateUsageError: a graded metric may lose nothing.
        """
        rule = "capability_margin" if capability else "margin"
        session = self._lab.settings.margin if asked is None else asked
        allowed, declared = (
            one.capability if capability else one.mean
            for one in (
                self._declared.allowed(session, metric),
                self._declared.allowed(metric=metric),
            )
        )
        who = None
        if session is not None:
            said = self._lab.settings.said.get("margin", "the session")
            who = said if asked is None else "the test"
        check_margin(
            metric, allowed, self._task_set.name, rule, samples=self._task_set.samples, asked=who
        )
        return allowed, overrides.of_margin(
            self._lab.settings,
            self._declared.key(rule, metric),
            asked,
            allowed,
            declared,
            self._task_set.name,
        )

    def _ask(
        self,
        assertion: str,
        candidate: Candidate,
        *,
        run: RunRecord | Staged | None = None,
        reference: RunRecord | None = None,
        against: str,
        metric: str | None = None,
        excused: bool = False,
        settings: Mapping[str, Any],
        overridden: tuple[Override, ...] = (),
    ) -> Comparison:
        """Judge, tell what was judged, and raise where the test must not pass."""
        __tracebackhide__ = True
        from pytest_modellab.baselines import origin
        from pytest_modellab.judging.comparison import Comparison
        from pytest_modellab.judging.question import Question
        from pytest_modellab.lab import noise
        from pytest_modellab.reports.text import steps, table

        asked = self._lab.extensions.assertions[assertion]
        question = Question(
            assertion=assertion,
            test=self._test,
            spec=candidate.spec,
            task_set=self._task_set,
            against=against,
            budget=self._budget,
            candidate=run,
            reference=reference,
            metric=metric,
            words=asked.words,
        )

        def judge(question: Question) -> Comparison:
            with question.refusing():
                comparison = asked.judge(question, **settings)
            if not isinstance(comparison, Comparison):
                raise GateUsageError(
                    f"{assertion!r}: its judge returned {comparison!r}; expected "
                    "question.comparison(…)"
                )
            return comparison

        if excused:
            comparison = updating.judge(question, judge, lambda: self._own(candidate.name, metric))
        else:
            comparison = judge(question)
        of_session = (
            *overrides.of_session(self._lab.settings),
            *overrides.of_limit(self._lab.settings, self._declared.limit, self._task_set),
        )
        overridden = (*of_session, *self._overridden, *overridden)
        known = {one.changed for one in comparison.preprocessing}
        variant = self._variant(candidate.name)
        of_base = self._lab.unlike_base(variant)
        runs = [(candidate.name, variant.fingerprint)] if comparison.flips else []
        if comparison.flips and reference is not None:
            runs.append((str(reference.variant.get("name")), reference.fingerprint))
        comparison = dataclasses.replace(
            comparison,
            overrides=overridden,
            notes=(
                *noise.sentences(runs, self._lab.settings.cache),
                *comparison.notes,
                *self._despite(reference),
            ),
            preprocessing=(
                *comparison.preprocessing,
                *(one for one in of_base if one.changed not in known),
            ),
        )
        fails = comparison.outcome == "block" or (
            comparison.verdict == "inconclusive"
            and self._lab.settings.on_inconclusive == "fail"
            and not excused
        )
        if fails and reference is not None:  # else nobody reads it, and git need not be asked
            path = self._lab.baseline_path(self._against, self._task_set.name)
            comparison = dataclasses.replace(comparison, reference=origin.words(path))
        # a latency is measured without a run, which nobody has asked for then
        summarize = self._lab.stored_summary if run is None else self._lab.summary
        self._judged(comparison, summarize(self._variant(candidate.name), self._task_set))
        if fails:
            again = steps.lines(comparison, self._again, named(self._lab.config.path))
            text = "\n".join([table.render_text(comparison), *again])
            raise (asked.blocked if comparison.outcome == "block" else VerdictInconclusive)(text)
        return comparison

    def _despite(self, reference: RunRecord | None) -> tuple[str, ...]:
        """Say where the accepted run that is compared with was a bad one from the start."""
        if reference is None:
            return ()
        accepted = self._lab.accepted(self._against, self._task_set.name)
        if accepted is None or accepted.despite is None:
            return ()
        return (f"the first accepted run of {self._against} was {accepted.despite}",)
