"""What one session found, in an order that no scheduler can change, and what to say about it.

Every report starts from :class:`SessionReport`. It sorts what it is given, so that a serial run
and a parallel one report the same bytes, and the helpers below it word the same fact the same way
everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from pytest_modellab.comparison import OWN_ANCHOR, OWN_BASELINE, Comparison
from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.gate.results import Figures
from pytest_modellab.records import RunSummary
from pytest_modellab.reports import measured

SessionVerdict = Literal["block", "error", "pass", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class TestError:
    """A test that reached no verdict.

    Attributes:
        test: the test's node id.
        variant: the variant under test, or None where the test died before it was known.
        message: what the exception said.
        kind: the exception's class name, for example ``BaselineMissing``; may be empty.
        command: records the baseline that is missing; empty where that is not what is missing.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest makes of the name

    test: str
    variant: str | None
    message: str
    kind: str = ""
    command: str = ""

    @property
    def missing_baseline(self) -> bool:
        """True where recording a baseline is all that is missing."""
        return self.kind == "BaselineMissing" or (
            not self.kind and "BaselineMissing" in self.message
        )

    @property
    def summary(self) -> str:
        """The message's first line."""
        return next((line.strip() for line in self.message.splitlines() if line.strip()), "")


@dataclasses.dataclass(frozen=True)
class SessionReport:
    """Everything that a report shows; equal whatever order its parts were collected in.

    Attributes:
        runs: sorted by strategy, then name; one that several processes report is kept once.
        comparisons: sorted by task set, candidate, assertion, against and capability.
        errors: tests without a verdict, sorted by test.
        alpha: the run's risk of any false block.
        assertions: how many assertions share it.
        on_inconclusive: ``fail``, ``warn`` or ``pass``.
        complete: False where tests that were collected never reported.
        notes: what concerns the whole session.
    """

    runs: tuple[RunSummary, ...]
    comparisons: tuple[Comparison, ...]
    errors: tuple[TestError, ...]
    alpha: float
    assertions: int
    on_inconclusive: str
    complete: bool
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, value in (
            ("runs", _merged(self.runs)),
            ("comparisons", sorted(self.comparisons, key=_comparison_key)),
            ("errors", sorted(self.errors, key=lambda e: (e.test, e.variant or "", e.message))),
            ("notes", sorted(set(self.notes))),
        ):
            object.__setattr__(self, name, tuple(value))

    @property
    def verdict(self) -> SessionVerdict:
        """Block before error before the rest; an incomplete run never passes."""
        found = _verdict(self.comparisons, self.errors)
        return "inconclusive" if found == "pass" and not self.complete else found

    @property
    def variants(self) -> tuple[str, ...]:
        """Every variant that was run or judged or failed, in the order of the runs."""
        names = [run.variant for run in self.runs]
        names += [c.candidate for c in self.comparisons]
        names += [e.variant for e in self.errors if e.variant is not None]
        return tuple(dict.fromkeys(names))

    @property
    def without_run(self) -> tuple[tuple[str, str], ...]:
        """Variant and task set of what was timed and has no run."""
        ran = {(run.variant, run.task_set) for run in self.runs}
        timed = [(c.candidate, c.task_set) for c in self.comparisons if c.ratio is not None]
        return tuple(pair for pair in dict.fromkeys(timed) if pair not in ran)

    @property
    def task_sets(self) -> tuple[str, ...]:
        """Names of all task sets, sorted."""
        return tuple(
            sorted({r.task_set for r in self.runs} | {c.task_set for c in self.comparisons})
        )


@dataclasses.dataclass(frozen=True)
class Undecided:
    """What it would take to settle the inconclusive ones of some comparisons.

    Attributes:
        count: inconclusive comparisons.
        total: all comparisons looked at.
        mde: the largest detectable drop among them, None where no drop can be detected.
        mde_of: what that comparison judged.
        more: most further samples that one of them needs, None where none can be settled so.
        more_of: what that comparison judged.
        stuck: how many of them no number of samples is known to settle.
        no_margin: True where one of those has an allowed drop of 0, at which nothing can pass.
        latency: what the latency that is undecided was, empty without one.
    """

    count: int
    total: int
    mde: float | None
    mde_of: str
    more: int | None
    more_of: str
    stuck: int
    no_margin: bool
    latency: str = ""

    def __str__(self) -> str:
        parts = [f"{self.count} of {self.total} undecided"]
        if self.latency:
            parts.append(self.latency)
        if self.mde is None and self.latency and not self.stuck and self.more is None:
            pass  # nothing but the latency is undecided
        elif self.mde is None:
            parts.append("too few samples to notice any drop")
        else:
            where = f" ({self.mde_of})" if self.count > 1 else ""
            parts.append(f"smallest drop that shows is {number(self.mde)}{where}")
        if self.more is not None:
            most, where = ("up to ", f" ({self.more_of})") if self.count > 1 else ("about ", "")
            noun = "sample" if self.more == 1 else "samples"
            parts.append(f"{most}{self.more} more {noun} would settle it{where}")
        if self.stuck:
            which = "" if self.count == self.stuck else f"{self.stuck} of them "
            parts.append(
                f"{which}cannot pass at an allowed drop of 0, set a margin"
                if self.no_margin
                else f"{which}may stay undecided with any number of samples"
            )
        return "; ".join(parts)


def undecided(comparisons: Iterable[Comparison]) -> Undecided | None:
    """Sum up the inconclusive ones of ``comparisons``, or None where all are settled."""
    judged = tuple(comparisons)
    found = [(c, deciding(c)) for c in judged if c.verdict == "inconclusive"]
    if not found:
        return None
    figures = [(figure, subject(c)) for c, figure in found if figure is not None]
    detectable = [(f.mde, name) for f, name in figures if f.mde is not None]
    needed = [(f.samples_needed - f.n, name) for f, name in figures if f.samples_needed is not None]
    stuck = [f for f, _ in figures if f.samples_needed is None]
    mde, mde_of = max(detectable, key=lambda pair: pair[0], default=(None, ""))
    more, more_of = max(needed, key=lambda pair: pair[0], default=(None, ""))
    return Undecided(
        count=len(found),
        total=len(judged),
        mde=mde,
        mde_of=mde_of,
        more=more,
        more_of=more_of,
        stuck=len(stuck),
        no_margin=any(_no_margin(f) for f in stuck),
        latency="; ".join(latency_words(c.ratio) for c, _ in found if c.ratio is not None),
    )


def latency_words(ratio: RatioResult) -> str:
    """``latency x1.02, allowed x1.05``, and what would settle it or why nothing can."""
    settled = f", about {ratio.needed} {ratio.unit} would settle it" if ratio.needed else ""
    why = f": {ratio.reason}" if ratio.reason else settled
    return f"latency x{ratio.ratio:.2f}, allowed x{ratio.limit:.2f}{why}"


def nearest(comparisons: Iterable[Comparison]) -> str | None:
    """The inconclusive comparison that came closest to a block, in words; None without one."""
    found = [
        (figures, comparison)
        for comparison in comparisons
        if comparison.verdict == "inconclusive" and (figures := deciding(comparison)) is not None
    ]
    if not found:
        return None
    figures, comparison = min(found, key=lambda pair: (pair[0].p_adjusted, pair[1].test))
    if comparison.assertion == "worst_bucket":
        seen = f"{figures.name} {figures.candidate:.2f}, floor {number(figures.floor or 0.0)}"
    else:
        named = f" ({figures.name})" if comparison.assertion == "no_forgetting" else ""
        seen = (
            f"{subject(comparison)}{named} against {comparison.against} "
            f"{figures.baseline or 0.0:.2f} -> {figures.candidate:.2f}, "
            f"allowed drop {number(figures.margin)}"
        )
    return f"{seen}, p = {figures.p_adjusted:.2g}, blocks at {number(figures.alpha)}"


def deciding(comparison: Comparison) -> Figures | None:
    """The figures that the verdict rests on most, None for a comparison without figures.

    Of those that share the verdict, the ones with the smallest adjusted p.
    """
    own = [f for f in comparison.figures if f.verdict == comparison.verdict]
    return min(own or comparison.figures, key=lambda f: (f.p_adjusted, f.name), default=None)


def subject(comparison: Comparison) -> str:
    """What was judged: a capability, the worst bucket, forgetting, latency, or all samples.

    With the metric where that was judged instead of the score: ``all samples by recall@10``.
    """
    by = "" if comparison.metric is None else f" by {comparison.metric}"
    if comparison.assertion == "no_slowdown":
        return "latency"
    if comparison.assertion == "worst_bucket":
        of = f" of {comparison.capability}" if comparison.capability else ""
        return f"worst bucket{of}{by}"
    if comparison.assertion in ("no_drift", "no_forgetting"):
        return comparison.assertion.removeprefix("no_")
    return f"{comparison.capability or 'all samples'}{by}"


def number(value: float) -> str:
    """A score, drop or level for a reader: at most three significant digits, no exponent.

    ``0.0050 → 0.005``, ``0.31 → 0.31``, ``-0.0004 → -0.0004``, ``0.000065234 → 0.0000652``.
    """
    text = f"{value:.3g}"
    if "e" in text:
        rounded = value if abs(value) >= 1 else float(text)
        text = f"{rounded:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def plural(count: int, noun: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str], most: int = 4) -> str:
    """``a, b, c, d and 3 more``, each name once, in the order given."""
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:most])
    return f"{shown} and {len(known) - most} more" if len(known) > most else shown


def both(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def headline(report: SessionReport) -> str:
    """One sentence, the verdict first."""
    total = len(report.comparisons)
    unfinished = "" if report.complete else "; the run did not complete"
    blocked = [c for c in report.comparisons if c.verdict == "block"]
    if blocked:
        what = listed(f"{c.candidate} ({subject(c)})" for c in blocked)
        return f"BLOCK: {len(blocked)} of {plural(total, 'comparison')}: {what}{unfinished}."
    if report.errors:
        variants = listed(e.variant for e in report.errors if e.variant is not None)
        where = f" ({variants})" if variants else ""
        count = len(report.errors)
        return f"ERROR: {plural(count, 'test')} reached no verdict{where}{unfinished}."
    if not total:
        return f"INCONCLUSIVE: nothing was compared{unfinished}."
    if report.verdict == "pass":
        variants = plural(len({c.candidate for c in report.comparisons}), "variant")
        every = "the comparison" if total == 1 else f"all {total} comparisons"
        return f"PASS: {every} of {variants} passed."
    open_ = sum(c.verdict == "inconclusive" for c in report.comparisons)
    if not open_:
        return f"INCONCLUSIVE: {total} of {plural(total, 'comparison')} passed{unfinished}."
    return (
        f"INCONCLUSIVE: {open_} of {plural(total, 'comparison')} could not be settled, "
        f"none blocks{unfinished}."
    )


def variant_verdict(
    report: SessionReport, variant: str, task_set: str | None = None
) -> SessionVerdict | None:
    """The verdict on one variant, on one task set or on all.

    Args:
        report: the session.
        variant: the variant's name.
        task_set: the task set's name; None for all. Errors count towards every task set.

    Returns:
        As for the whole session, or None where the variant was run but nothing judged it.
    """
    comparisons = of_variant(report, variant, task_set)
    errors = [e for e in report.errors if e.variant == variant]
    return _verdict(comparisons, errors) if comparisons or errors else None


def of_variant(
    report: SessionReport, variant: str, task_set: str | None = None
) -> tuple[Comparison, ...]:
    """The comparisons of one variant, on one task set or on all."""
    return tuple(
        c for c in report.comparisons if c.candidate == variant and task_set in (None, c.task_set)
    )


def saved(report: SessionReport, variant: str, task_set: str) -> str | None:
    """How many samples sequential mode asked of a variant, and for what; None without it."""
    found = [(c.looked, c) for c in of_variant(report, variant, task_set) if c.looked is not None]
    if not found:
        return None
    looked, comparison = max(found, key=lambda pair: pair[0].used)
    figure, left = deciding(comparison), looked.total - looked.used
    most = subject(comparison)
    if comparison.against != OWN_BASELINE:
        most = f"{most} against {comparison.against}"
    if comparison.verdict == "inconclusive" and figure is not None and _no_margin(figure):
        most = f"{most}, which cannot pass at an allowed drop of 0"
    if not left:
        return f"sequential: all {looked.total} samples were needed, for {most}"
    share = f"{left} saved ({left / looked.total:.0%})"
    return f"sequential: {looked.used} of {looked.total} samples, {share}; most for {most}"


def next_step(report: SessionReport, *, open_questions: bool = True) -> tuple[str, ...]:
    """What to do next, the most urgent first; empty where all is well.

    Args:
        report: the session.
        open_questions: False leaves out what would settle the inconclusive comparisons.
    """
    lines = []
    for variant in report.variants:
        blocked = [c for c in of_variant(report, variant) if c.verdict == "block"]
        kinds = dict.fromkeys(_kind_of_block(c) for c in blocked)
        for kind in sorted(kinds, key=_BLOCKS.index):
            group = [c for c in blocked if _kind_of_block(c) == kind]
            lines.append(_after_block(variant, kind, group))
        lines += _of_the_index(report, blocked)
    lines += [
        f"record the missing baseline: {error.command}"
        for error in report.errors
        if error.missing_baseline
    ]
    lines += [
        f"mend {error.variant or error.test}: {error.summary}"
        for error in report.errors
        if not error.missing_baseline
    ]
    if not report.complete:
        lines.append("run again: not every test reported")
    for variant in report.variants if open_questions else ():
        found = undecided(of_variant(report, variant))
        if found is not None:
            lines.append(f"{variant}: {found}")
    lines += [
        f"{run.variant}: {run.churn or 0.0:.1%} of its samples flip between two runs of it, more "
        "than three times what its accepted run or its base did; look for what differs between "
        "runs (sampling, batch size, kernels)"
        for run in report.runs
        if run.abnormal_churn
    ]
    recorded = sorted({run.recorded for run in report.runs if run.recorded is not None})
    if recorded:
        noun = "baseline" if len(recorded) == 1 else "baselines"
        lines.append(f"review and commit the recorded {noun}: {listed(recorded)}")
    return tuple(dict.fromkeys(lines))


_BLOCKS = ("own", "base", "drift", "forgetting", "floor", "slowdown")


def _kind_of_block(comparison: Comparison) -> str:
    if comparison.assertion == "no_slowdown":
        return "slowdown"
    if _is_floor(comparison):
        return "floor"
    if comparison.assertion in ("no_drift", "no_forgetting"):
        return subject(comparison)
    return "own" if comparison.against == OWN_BASELINE else "base"


def _after_block(variant: str, kind: str, blocked: Sequence[Comparison]) -> str:
    if kind == "slowdown":
        times = listed(
            f"x{c.ratio.ratio:.2f} of {c.against}'s time, x{c.ratio.limit:.2f} is allowed"
            for c in blocked
            if c.ratio is not None
        )
        return f"{variant} is slower: {times}; if that is wanted, raise limit"
    falls, task_sets = [], tuple(dict.fromkeys(c.task_set for c in blocked))
    for comparison in blocked:
        on = f" on {comparison.task_set}" if len(task_sets) > 1 else ""
        if comparison.assertion == "no_forgetting":
            figures = [f for f in comparison.figures if f.verdict == "block"]
        else:
            figure = deciding(comparison)
            figures = [] if figure is None else [figure]
        if not figures:
            falls.append(f"{subject(comparison)}{on}")
        for figure in figures:
            named = comparison.capability or figure.name
            name = "all samples" if named == "all" else named
            name += "" if comparison.metric is None else f" by {comparison.metric}"
            if figure.baseline is None:
                ends = f"{figure.candidate:.2f} < {figure.floor or 0.0:.2f}"
            else:
                ends = f"{figure.baseline:.2f} -> {figure.candidate:.2f}"
            falls.append(f"{name}{on} {ends}")
    what, against = listed(falls), listed(c.against for c in blocked)
    look = "look at the flipped samples"
    named = "".join(f" --task-set {name}" for name in task_sets)
    if kind == "floor":
        return f"{variant} is under the floor: {what}; look at the samples it got wrong"
    if kind == "own":
        wanted = f"accept it: modellab accept {variant}{named}"
        return f"{variant} fell: {what}; {look}; if the drop is wanted, {wanted}"
    if kind == "drift":
        wanted = f"begin a new chain: modellab accept {variant}{named} --new-anchor"
        itself = all(c.against == OWN_ANCHOR for c in blocked)
        why = "" if itself else "accepted drops have added up; "
        return f"{variant} drifted from its {against}: {what}; {why}if that is wanted, {wanted}"
    if kind == "forgetting":
        wanted = f"name it in variants.{variant}.targets"
        return (
            f"{variant} forgot what the {against} can do: {what}; {look}; if a capability was "
            f"meant to change, {wanted}"
        )
    return (
        f"{variant} fell against {against}: {what}; {look}; if the drop is wanted, allow it with "
        "margin or capability_margin"
    )


_SEEN = 0.005
"""Scores that differ by less look the same with two digits."""


def _of_the_index(report: SessionReport, blocked: Sequence[Comparison]) -> list[str]:
    """Where exact search would score more than a blocked variant: its index is to be looked at."""
    judged = {(c.candidate, c.task_set) for c in blocked if c.ratio is None}
    several = len(report.task_sets) > 1
    return [
        f"{run.variant}: look at its index before the model"
        f"{f' on {run.task_set}' if several else ''}: {measured.index_words(run)}"
        for run in report.runs
        if (run.variant, run.task_set) in judged and measured.index_loss(run) >= _SEEN
    ]


def _no_margin(figure: Figures) -> bool:
    return figure.floor is None and figure.margin == 0.0


def _is_floor(comparison: Comparison) -> bool:
    figure = deciding(comparison)
    return comparison.against == "floor" or (figure is not None and figure.floor is not None)


def _verdict(comparisons: Sequence[Comparison], errors: Sequence[TestError]) -> SessionVerdict:
    verdicts = {c.verdict for c in comparisons}
    if "block" in verdicts:
        return "block"
    if errors:
        return "error"
    return "pass" if verdicts == {"pass"} else "inconclusive"


def _merged(runs: Iterable[RunSummary]) -> list[RunSummary]:
    """Sorted; of one run the summary with the most samples, with churn, and the one that ran it."""
    kept: dict[tuple[str, ...], RunSummary] = {}

    def order(run: RunSummary) -> tuple[object, ...]:
        return (_run_key(run), -run.n, run.churn is None, run.cached, run.recorded or "")

    for run in sorted(runs, key=order):
        first = kept.setdefault(_run_key(run), run)
        if first.recorded is None and run.recorded is not None:
            kept[_run_key(run)] = dataclasses.replace(first, recorded=run.recorded)
    return list(kept.values())


def _run_key(run: RunSummary) -> tuple[str, ...]:
    return (run.strategy, run.variant, run.task_set, run.task_set_version, run.fingerprint)


def _comparison_key(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.task_set,
        comparison.candidate,
        comparison.assertion,
        comparison.against,
        comparison.capability or "",
        comparison.metric or "",
        comparison.test,
    )
