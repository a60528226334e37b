"""What a test calls: the candidate under test, and the gate that judges it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Set
from typing import TYPE_CHECKING

from pytest_modellab.engines.interface import Engine
from pytest_modellab.errors import (
    CapabilityForgotten,
    ComparisonRefused,
    FloorViolated,
    GateUsageError,
    RegressionDetected,
    SlowdownDetected,
    VerdictInconclusive,
    near_misses,
)
from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets.slices import slice_by

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.judging.scores import Budget
    from pytest_modellab.runs.stages import Staged


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The variant under test, as the ``candidate`` fixture hands it out; loaded only on demand."""

    lab: Lab
    spec: VariantSpec

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.spec.name

    @property
    def engine(self) -> Engine:
        """The loaded model, for tests that ask it something themselves."""
        return self.lab.engine(self.spec.name)

    def record(self, task_set: TaskSet) -> RunRecord:
        """Return the candidate's run on a task set."""
        return self.lab.record(self.spec.name, task_set.name)


class Gate:
    """The ``gate`` fixture: judges one thing for one test, and raises where it must not ship.

    Args:
        lab: the session.
        test: the test's node id.
        task_set: what the candidate is judged on.
        budget: the part of the run's risk that this test's assertion may spend.
        judged: called with the comparison before anything is raised.
        accepted: the variants whose runs on this task set ``--modellab-update`` accepts in this
            session; their runs are compared with, whichever test comes first.
    """

    def __init__(
        self,
        lab: Lab,
        test: str,
        task_set: TaskSet,
        budget: Budget,
        judged: Callable[[Comparison, RunSummary | None], None],
        accepted: Set[str] = frozenset(),
    ) -> None:
        self._lab = lab
        self._accepted = accepted
        self._test = test
        self._task_set = task_set
        self._budget = budget
        self._judged = judged
        self._spent = False

    def no_regression(
        self,
        candidate: Candidate,
        *,
        capability: str | None = None,
        against: str | None = None,
        margin: float | None = None,
        metric: str | None = None,
    ) -> Comparison:
        """Assert that the candidate is not worse than its reference by more than the margin.

        Args:
            candidate: from the fixture of that name.
            capability: judge this capability, as one of the family of all capabilities of the
                task set; None judges the mean over all samples.
            against: None for the candidate's own baseline, ``"base"`` for the baseline of the
                variant that it adapts, or any variant's name.
            margin: allowed drop in [0, 1); None takes ``--modellab-margin``, else the task set's
                ``margin`` (``capability_margin`` where a capability is judged).
            metric: judge this figure of the samples instead of their scores: one that the task set
                lists, for example ``"recall@10"``, or ``"index_recall@10"``.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            RegressionDetected: the gate blocks.
            BaselineMissing: there is nothing to compare with yet.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.baselines.accepted import OWN_BASELINE
        from pytest_modellab.judging import drop

        self._begin(candidate)
        lab, name, task_set = self._lab, candidate.name, self._task_set
        own = against is None or against == name
        if own:
            reference_name, words = name, OWN_BASELINE
        else:
            reference_name = self._base(candidate) if against == "base" else str(against)
            lab.spec(reference_name)
            words = f"baseline of {reference_name}"
        reference = (
            lab.record(reference_name, task_set.name)
            if lab.settings.update and reference_name in self._accepted
            else lab.baseline(reference_name, task_set.name).run
        )
        comparison = drop.no_regression(
            test=self._test,
            spec=candidate.spec,
            candidate=self._run(name, metric),
            reference=reference,
            against=words,
            task_set=task_set,
            capability=capability,
            margin=self._margin(capability, margin),
            budget=self._budget,
            metric=metric,
        )
        return self._conclude(comparison, RegressionDetected, excused=own and lab.settings.update)

    def no_drift(self, candidate: Candidate, *, margin: float | None = None) -> Comparison:
        """Assert that small accepted drops have not added up: compare with the anchor.

        The anchor is the accepted run that the candidate's baseline descends from. It stays when a
        changed run is accepted, until ``modellab accept --new-anchor`` begins a new chain.

        Args:
            candidate: from the fixture of that name.
            margin: drop of the mean over all samples that is allowed since the anchor, in [0, 1);
                None takes ``--modellab-margin``, else the task set's ``margin``.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            RegressionDetected: the gate blocks.
            BaselineMissing: nothing was accepted yet.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging import drop

        self._begin(candidate)
        lab, name, task_set = self._lab, candidate.name, self._task_set
        baseline = lab.baseline(name, task_set.name)
        comparison = drop.no_regression(
            assertion="no_drift",
            test=self._test,
            spec=candidate.spec,
            candidate=lab.candidate(name, task_set.name),
            reference=baseline.anchor_run(),
            against=baseline.anchor_words,
            task_set=task_set,
            capability=None,
            margin=self._margin(None, margin),
            budget=self._budget,
        )
        itself = lab.settings.update and baseline.anchor is None
        return self._conclude(comparison, RegressionDetected, excused=itself)

    def no_forgetting(
        self,
        candidate: Candidate,
        *,
        targeted: Collection[str] = (),
        against: str = "base",
        margin: float | None = None,
    ) -> Comparison:
        """Assert that the adaptation lost no capability that the base has.

        The base has a capability where its second recorded run lies above chance; what it cannot
        do cannot be forgotten. The capabilities that are judged are one family.

        Args:
            candidate: from the fixture of that name.
            targeted: capabilities that the adaptation is meant to change, beside the variant's
                ``targets`` in the configuration; they are not judged.
            against: ``"base"`` for the variant that the candidate adapts, or any variant's name.
            margin: drop of one capability that is allowed, in [0, 1); None takes
                ``--modellab-margin``, else the task set's ``capability_margin``.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            CapabilityForgotten: the gate blocks; the capabilities are named.
            BaselineMissing: the base has no accepted run, or that has no second run.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging import forgetting

        self._begin(candidate)
        lab, task_set = self._lab, self._task_set
        if isinstance(targeted, str):
            raise GateUsageError(f"targeted takes several names: targeted=[{targeted!r}]")
        for name in targeted:
            if name not in task_set.capabilities:
                hint = near_misses(name, task_set.capabilities)
                raise GateUsageError(
                    f"targeted: {task_set.name!r} has no capability {name!r}; {hint}"
                )
        reference = self._base(candidate) if against == "base" else against
        lab.spec(reference)
        if lab.settings.update and reference in self._accepted:
            lab.accept(reference, task_set.name)
        baseline = lab.baseline(reference, task_set.name)
        second = baseline.second_run()
        if second is None:
            raise lab.missing_second_run(reference, task_set.name)
        comparison = forgetting.no_forgetting(
            test=self._test,
            spec=candidate.spec,
            candidate=lab.candidate(candidate.name, task_set.name),
            reference=baseline.run,
            second=second,
            against=f"baseline of {reference}",
            task_set=task_set,
            targeted={*targeted, *candidate.spec.targets},
            margin=self._margin("any", margin),
            budget=self._budget,
        )
        return self._conclude(comparison, CapabilityForgotten)

    def worst_bucket(
        self,
        candidate: Candidate,
        *,
        floor: float | None = None,
        by: str = "bucket",
        metric: str | None = None,
    ) -> Comparison:
        """Assert that no bucket lies under the floor.

        Args:
            candidate: from the fixture of that name.
            floor: least mean score in (0, 1); None takes the task set's ``floor``.
            by: what makes a bucket: ``"bucket"`` (capability × difficulty), ``"capability"``,
                ``"difficulty"``, or a key of the samples' metadata.
            metric: judge this figure of the samples instead of their scores, as
                :meth:`no_regression`.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            FloorViolated: the gate blocks.
            GateUsageError: no floor is set, or a sample lacks the metadata key.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging import floor as judging_floor

        self._begin(candidate)
        lab, task_set = self._lab, self._task_set
        if floor is None:
            floor = lab.config.task_sets[task_set.name].floor
        if floor is None:
            raise GateUsageError(
                f"no floor: set it in {lab.config.path}: task_sets.{task_set.name}.floor, or "
                "call gate.worst_bucket(candidate, floor=…)"
            )
        comparison = judging_floor.worst_bucket(
            test=self._test,
            spec=candidate.spec,
            candidate=self._run(candidate.name, metric),
            task_set=task_set,
            floor=floor,
            slice_=slice_by(task_set, by),
            budget=self._budget,
            metric=metric,
        )
        return self._conclude(comparison, FloorViolated)

    def no_slowdown(
        self, candidate: Candidate, *, against: str = "base", limit: float = 1.05
    ) -> Comparison:
        """Assert that the candidate answers as fast as its reference, within the limit.

        Both are loaded and asked the same prompts in turns, in the rounds that ``[performance]``
        declares, anew in every session; the rounds are what is tested.

        Args:
            candidate: from the fixture of that name.
            against: ``"base"`` for the variant that the candidate adapts, or any variant's name.
            limit: largest ratio of the two times to the last token that is allowed, above 0.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            SlowdownDetected: the gate blocks.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging import latency

        self._begin(candidate)
        lab, task_set = self._lab, self._task_set
        reference = self._base(candidate) if against == "base" else against
        lab.spec(reference)
        if reference == candidate.name:
            raise GateUsageError(
                f"{reference!r} cannot be slower than itself; name another variant: against=…"
            )
        found = lab.performance(candidate.name, task_set.name, reference, anew=True)
        assert found.reference is not None  # only the reference itself is measured alone
        comparison = latency.no_slowdown(
            test=self._test,
            spec=candidate.spec,
            candidate=found.candidate,
            reference=found.reference,
            workers=int(found.environment.get("workers", 0)),
            against=reference,
            task_set=task_set,
            limit=limit,
            budget=self._budget,
        )
        return self._conclude(comparison, SlowdownDetected)

    def _run(self, name: str, metric: str | None) -> RunRecord | Staged:
        """What a variant is judged by; a further figure only a whole run has."""
        if metric is None:
            return self._lab.candidate(name, self._task_set.name)
        return self._lab.record(name, self._task_set.name)

    def _begin(self, candidate: Candidate) -> None:
        if self._spent:
            raise GateUsageError(
                f"{self._test}: asks the gate twice, but its share of the run's risk pays for one "
                "verdict; write a test for each"
            )
        self._spent = True
        if self._lab.settings.update:
            self._lab.accept(candidate.name, self._task_set.name)

    def _base(self, candidate: Candidate) -> str:
        if candidate.spec.base is None:
            raise ComparisonRefused(
                f"variant {candidate.name!r} has no base; name a variant: against=…, or select "
                "variants with a base: @pytest.mark.variants(kind=…)"
            )
        return candidate.spec.base

    def _margin(self, capability: str | None, asked: float | None) -> float:
        if asked is not None:
            return asked
        if self._lab.settings.margin is not None:
            return self._lab.settings.margin
        config = self._lab.config.task_sets[self._task_set.name]
        return config.margin if capability is None else config.capability_margin

    def _conclude(
        self,
        comparison: Comparison,
        blocked: type[AssertionError],
        *,
        excused: bool = False,
    ) -> Comparison:
        __tracebackhide__ = True
        from pytest_modellab.reports.text import table

        # a latency is measured without a run, which nobody has asked for then
        summarize = self._lab.summary if comparison.ratio is None else self._lab.stored_summary
        self._judged(comparison, summarize(comparison.candidate, comparison.task_set))
        if comparison.verdict == "block":
            raise blocked(table.render_text(comparison))
        fails = self._lab.settings.on_inconclusive == "fail" and not excused
        if comparison.verdict == "inconclusive" and fails:
            raise VerdictInconclusive(table.render_text(comparison))
        return comparison
