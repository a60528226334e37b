"""What a test calls: the gate that judges the candidate."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import GateUsageError, near_misses
from pytest_modellab.plugin import overrides
from pytest_modellab.plugin.asking import Asking
from pytest_modellab.plugin.under_test import Candidate
from pytest_modellab.tasksets.slices import slice_by

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison


LIMIT = 1.05
"""Times its reference's time that a candidate may take unless a test says otherwise."""


class Gate(Asking):
    """The ``gate`` fixture: judges one thing for one test, and raises where it must not ship."""

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
                ``margin`` (``capability_margin`` where a capability is judged), of a graded metric
                its own where that is declared.
            metric: judge this figure of the samples instead of their scores: ``"probability"`` or
                ``"likelihood"``, which show a drop with fewer samples and need a margin above 0; or
                one that the task set lists, for example ``"recall@10"``, or ``"index_recall@10"``.
                Of the samples alone that have it, and of whole runs: in sequential mode nothing is
                saved.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            RegressionDetected: the gate blocks.
            BaselineMissing: there is nothing to compare with yet, or it lacks the metric.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        name = self._begin(candidate, against)
        own = name == candidate.name
        allowed, overridden = self._margin(margin, capability=capability is not None, metric=metric)
        # before the run: where it is missing, nothing is run
        reference = self._reference(candidate, name, metric)
        return self._ask(
            "no_regression",
            candidate,
            reference=reference,
            run=self._run(candidate, metric, reference),
            against=self._words(candidate, name),
            metric=metric,
            excused=own and self._lab.settings.update,
            settings={"capability": capability, "margin": allowed},
            overridden=overridden,
        )

    def no_drift(
        self,
        candidate: Candidate,
        *,
        margin: float | None = None,
        metric: str | None = None,
    ) -> Comparison:
        """Assert that small accepted drops have not added up: compare with the anchor.

        The anchor is the accepted run that the candidate's baseline descends from. It stays when a
        changed run is accepted, until ``modellab accept --new-anchor`` begins a new chain.

        Args:
            candidate: from the fixture of that name.
            margin: drop of the mean over all samples that is allowed since the anchor, in [0, 1);
                None takes ``--modellab-margin``, else the task set's ``margin``.
            metric: judge this figure of the samples instead of their scores, as
                :meth:`no_regression`; ``"likelihood"`` of multiple choice alone, since the texts
                of the anchor's replies are not kept.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            RegressionDetected: the gate blocks.
            BaselineMissing: nothing was accepted yet, or the anchor lacks the metric.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        baseline = self._anchor(self._begin(candidate), metric)
        reference = baseline.anchor_run()
        allowed, overridden = self._margin(margin, capability=False, metric=metric)
        return self._ask(
            "no_drift",
            candidate,
            run=self._run(candidate, metric, reference),
            reference=reference,
            against=baseline.anchor_words,
            metric=metric,
            excused=self._lab.settings.update and baseline.anchor is None,
            settings={"margin": allowed},
            overridden=overridden,
        )

    def no_forgetting(
        self,
        candidate: Candidate,
        *,
        targeted: Collection[str] = (),
        against: str = "base",
        margin: float | None = None,
        metric: str | None = None,
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
            metric: judge this figure of the samples instead of their scores, as
                :meth:`no_regression`. What the base has is decided by right or wrong all the same.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            CapabilityForgotten: the gate blocks; the capabilities are named.
            BaselineMissing: the base has no accepted run, or that has no second run, or lacks the
                metric.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        name = self._begin(candidate, against)
        if isinstance(targeted, str):
            raise GateUsageError(f"targeted takes several names: targeted=[{targeted!r}]")
        for capability in targeted:
            if capability not in self._task_set.capabilities:
                hint = near_misses(capability, self._task_set.capabilities)
                raise GateUsageError(
                    f"targeted: {self._task_set.name!r} has no capability {capability!r}; {hint}"
                )
        if self._lab.settings.update and name in self._accepted:
            self._lab.accept(self._variant(name), self._task_set)
        baseline = self._baseline(name, metric)
        second = baseline.second_run()
        if second is None:
            raise self._lab.missing_second_run(name, self._task_set.name)
        allowed, overridden = self._margin(margin, capability=True, metric=metric)
        return self._ask(
            "no_forgetting",
            candidate,
            run=self._run(candidate, metric, baseline.run),
            reference=baseline.run,
            against=f"baseline of {name}",
            metric=metric,
            settings={
                "second": second,
                "targeted": {*targeted, *candidate.spec.targets},
                "margin": allowed,
            },
            overridden=overridden,
        )

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
            floor: least mean score in (0, 1); None takes the task set's ``floor``, of a graded
                metric its own.
            by: what makes a bucket: ``"bucket"`` (capability × difficulty), ``"capability"``,
                ``"difficulty"``, or a key of the samples' metadata.
            metric: judge this figure of the samples instead of their scores, as
                :meth:`no_regression`; the floor is then the figure's, and ``"likelihood"`` that of
                multiple choice alone, since a floor has no accepted reply.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            FloorViolated: the gate blocks.
            GateUsageError: no floor is set, or a sample lacks the metadata key.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging.comparison import FLOOR

        self._begin(candidate)
        task_set, declared = self._task_set, self._declared.least(metric)
        rule = self._declared.key("floor", metric)
        if floor is None:
            floor = declared
        if floor is None:
            raise GateUsageError(
                f"no floor: set it in {self._lab.config.path}: task_sets.{task_set.name}.{rule}, "
                "or call gate.worst_bucket(candidate, floor=…)"
            )
        return self._ask(
            "worst_bucket",
            candidate,
            run=self._run(candidate, metric),
            against=FLOOR,
            metric=metric,
            settings={"floor": floor, "slice_": slice_by(task_set, by)},
            overridden=overrides.by_test(rule, floor, declared, task_set.name),
        )

    def no_slowdown(
        self, candidate: Candidate, *, against: str = "base", limit: float = LIMIT
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
        name = self._begin(candidate, against)
        if name == candidate.name:
            raise GateUsageError(
                f"{name!r} cannot be slower than itself; name another variant: against=…"
            )
        timed = self._lab.performance(
            self._variant(candidate.name), self._task_set, self._variant(name), anew=True
        )
        return self._ask(
            "no_slowdown",
            candidate,
            against=name,
            settings={"timed": timed, "limit": limit},
            overridden=overrides.by_test("limit", limit, LIMIT),
        )

    def fidelity(
        self,
        candidate: Candidate,
        *,
        kl: float | None = None,
        agreement: float | None = None,
        against: str = "base",
    ) -> Comparison:
        """Assert that the candidate has not moved far from its base, whatever the right answer is.

        Both read the task set's own texts, the right option of a multiple choice as the reply, and
        the distributions of every token behind the beginning that all share are compared; of a
        document those of every token, in the windows that its perplexity is made of.

        Args:
            candidate: from the fixture of that name.
            kl: largest mean KL(base‖candidate) that is allowed, in nats a token, above 0; None
                takes the task set's ``kl``.
            agreement: least share of tokens with the same first choice, in (0, 1); None takes the
                task set's ``agreement``. Where both are set, both must hold.
            against: ``"base"`` for the variant that the candidate adapts, or any variant's name.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            FidelityLost: the gate blocks.
            ComparisonRefused: the two do not read the same tokens.
            GateUsageError: no limit is set, or one that cannot be.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        declared = self._declared
        kl_used = declared.kl if kl is None else kl
        agreement_used = declared.agreement if agreement is None else agreement
        if kl_used is None and agreement_used is None:
            raise GateUsageError(
                "gate.fidelity: no limit; say how far the candidate may move: kl=0.05 (nats a "
                "token), agreement=0.95 (share of tokens with the same first choice), or both; or "
                f"declare it in {self._lab.config.path}: task_sets.{self._task_set.name}.kl"
            )
        from pytest_modellab.gate import GateInputError
        from pytest_modellab.gate.fidelity import check_limits

        try:  # before a model is read
            check_limits(kl_used, agreement_used)
        except GateInputError as error:
            raise GateUsageError(f"gate.fidelity: {error}") from error
        name = self._begin(candidate, against)
        if name == candidate.name:
            raise GateUsageError(
                f"{name!r} cannot move away from itself; name another variant: against=…"
            )
        moved = self._lab.divergence(
            self._variant(candidate.name), self._task_set, self._variant(name)
        )
        return self._ask(
            "fidelity",
            candidate,
            against=name,
            settings={"moved": moved, "kl": kl_used, "agreement": agreement_used},
            overridden=(
                *overrides.by_test("kl", kl_used, declared.kl, self._task_set.name),
                *overrides.by_test(
                    "agreement", agreement_used, declared.agreement, self._task_set.name
                ),
            ),
        )

    def judge(
        self,
        assertion: str,
        candidate: Candidate,
        *,
        against: str | None = None,
        metric: str | None = None,
        **settings: Any,
    ) -> Comparison:
        """Assert what has no method here, added by ``pytest_modellab_assertions`` or built in.

        Args:
            assertion: its name.
            candidate: from the fixture of that name.
            against: None to compare with no run, ``"base"`` for the baseline of the variant that
                the candidate adapts, or any variant's name, the candidate's own too.
            metric: a figure in place of the samples' scores, as :meth:`no_regression`.
            settings: the assertion's own.

        Returns:
            The comparison, where it passed or is inconclusive and may be.

        Raises:
            AssertionError: the gate blocks; the assertion says what is raised.
            BaselineMissing: there is nothing to compare with yet.
            GateUsageError: there is no such assertion.
            VerdictInconclusive: with ``--modellab-on-inconclusive=fail``.
            ModellabError: no verdict could be reached.
        """
        __tracebackhide__ = True
        from pytest_modellab.judging.assertions import ASSERTIONS

        if assertion in ASSERTIONS and hasattr(self, assertion):
            raise GateUsageError(f"{assertion!r} is built in: call gate.{assertion}(candidate)")
        known = self._lab.extensions.assertions
        if assertion not in known:
            hint = near_misses(assertion, known.keys() - ASSERTIONS.keys())
            more = "pytest_modellab_assertions adds one"
            raise GateUsageError(f"unknown assertion {assertion!r}; {hint} ({more})")
        name = self._begin(candidate, against)
        own = against is not None and name == candidate.name
        reference = None if against is None else self._reference(candidate, name, metric)
        return self._ask(
            assertion,
            candidate,
            reference=reference,
            run=self._record(candidate.name, metric, reference),
            against="a fixed limit" if against is None else self._words(candidate, name),
            metric=metric,
            excused=own and self._lab.settings.update,
            settings=settings,
        )
