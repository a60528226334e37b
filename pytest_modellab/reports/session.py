"""What one session found, in an order that no scheduler can change, and what to say about it.

Every report starts from :class:`SessionReport`. It sorts what it is given, so that a serial run
and a parallel one report the same bytes, and the helpers below it word the same fact the same way
everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.asked import Override
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports.words import listed, moved, plural, words_of

SessionVerdict = Literal["block", "error", "accepted", "pass", "inconclusive"]


_WORST_FIRST: tuple[SessionVerdict, ...] = ("block", "error", "accepted", "inconclusive", "pass")


_MENDED_FIRST = (
    ("ConfigError", "TaskSetError", "MediaError", "GateUsageError"),
    ("VariantLoadError",),
    ("ModelError",),
)
"""Kinds of errors in the order in which they are mended; all others come after them."""


_LAST = len(_MENDED_FIRST)


@dataclasses.dataclass(frozen=True)
class TestError:
    """A test that reached no verdict.

    Attributes:
        test: the test's node id.
        variant: the variant under test, or None where the test died before it was known.
        message: what the exception said.
        kind: the exception's class name, for example ``BaselineMissing``; may be empty.
        command: records the baseline that is missing; empty where that is not what is missing.
        cause: what is wrong, in equal words for all tests that it concerns; may be empty.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest makes of the name

    test: str
    variant: str | None
    message: str
    kind: str = ""
    command: str = ""
    cause: str = ""

    @property
    def missing_baseline(self) -> bool:
        """True where recording a baseline is all that is missing."""
        return self.kind == "BaselineMissing" or (
            not self.kind and "BaselineMissing" in self.message
        )

    @property
    def rank(self) -> int:
        """Place in the order of mending: a later error may be gone when an earlier one is."""
        if self.missing_baseline:
            return len(_MENDED_FIRST) + 1
        return next((n for n, kinds in enumerate(_MENDED_FIRST) if self.kind in kinds), _LAST)

    @property
    def summary(self) -> str:
        """The message's first line."""
        return _first_line(self.message)

    @property
    def told(self) -> str:
        """The first line of what is wrong, whomever it concerns."""
        return _first_line(self.cause or self.message)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


@dataclasses.dataclass(frozen=True)
class Called:
    """What a command that is typed where the session was called has to add.

    Attributes:
        option: by which it names the configuration; empty where it finds that by itself.
        root: the folder that node ids start from; empty for the same.
    """

    option: str = ""
    root: str = ""


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
        diagnoses: of blocked variants, by variant.
        configuration: the ``modellab.toml``, where the session has several; else empty.
        called: what a command has to add.
    """

    runs: tuple[RunSummary, ...]
    comparisons: tuple[Comparison, ...]
    errors: tuple[TestError, ...]
    alpha: float
    assertions: int
    on_inconclusive: str
    complete: bool
    notes: tuple[str, ...]
    diagnoses: Mapping[str, Diagnosis] = dataclasses.field(default_factory=dict)
    configuration: str = ""
    called: Called = Called()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell but notes."""
        return not (self.runs or self.comparisons or self.errors)

    def __post_init__(self) -> None:
        for name, value in (
            ("runs", _merged(self.runs)),
            ("comparisons", sorted(self.comparisons, key=_comparison_key)),
            ("errors", sorted(self.errors, key=lambda e: (e.test, e.variant or "", e.message))),
            ("notes", sorted(set(self.notes))),
        ):
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "diagnoses", dict(sorted(self.diagnoses.items())))

    @property
    def verdict(self) -> SessionVerdict:
        """Block, error, a drop that was accepted, the rest; an incomplete run never passes."""
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
    def causes(self) -> Mapping[str, tuple[TestError, ...]]:
        """What keeps tests from a verdict, each once, in the order in which it is to be mended.

        First what is wrong in files and settings, then what is not installed, then models, then
        anything else, and missing baselines last; of one kind, what concerns the most tests.
        """
        found: dict[str, list[TestError]] = {}
        for error in self.errors:
            found.setdefault(error.told, []).append(error)
        order = sorted(found, key=lambda told: (found[told][0].rank, -len(found[told])))
        return {told: tuple(found[told]) for told in order}

    @property
    def without_run(self) -> tuple[tuple[str, str], ...]:
        """Variant and task set of what was timed and has no run."""
        ran = {(run.variant, run.task_set) for run in self.runs}
        timed = [(c.candidate, c.task_set) for c in self.comparisons if c.timed]
        return tuple(pair for pair in dict.fromkeys(timed) if pair not in ran)

    @property
    def overrides(self) -> tuple[Override, ...]:
        """The rules that were not the declared ones, each once, the session's first."""
        found = {one for c in self.comparisons for one in c.overrides}
        return tuple(sorted(found, key=lambda one: (one.on != "", str(one))))

    @property
    def task_sets(self) -> tuple[str, ...]:
        """Names of all task sets, sorted."""
        return tuple(
            sorted({r.task_set for r in self.runs} | {c.task_set for c in self.comparisons})
        )


def worst(reports: Iterable[SessionReport]) -> SessionVerdict:
    """The verdict of a session with several configurations: the worst of those that found any."""
    found = [report.verdict for report in worst_first(reports) if not report.empty]
    return found[0] if found else "inconclusive"


def worst_first(reports: Iterable[SessionReport]) -> list[SessionReport]:
    """The reports of a session with several configurations by verdict, those of one as they are."""
    return sorted(reports, key=lambda report: _WORST_FIRST.index(report.verdict))


def ratio_words(ratio: RatioResult) -> str:
    """``latency x1.02, allowed x1.05``, and what would settle it or why nothing can."""
    settled = f", about {ratio.needed} {ratio.unit} would settle it" if ratio.needed else ""
    why = f": {ratio.reason}" if ratio.reason else settled
    return f"{ratio.name} x{ratio.ratio:.2f}, allowed x{ratio.limit:.2f}{why}"


def deciding(comparison: Comparison) -> Figures | None:
    """The figures that the verdict rests on most, None for a comparison without figures.

    Of those that share the verdict, the ones with the smallest adjusted p.
    """
    own = [f for f in comparison.figures if f.verdict == comparison.verdict]
    return min(own or comparison.figures, key=lambda f: (f.p_adjusted, f.name), default=None)


def fell(report: SessionReport) -> tuple[Comparison, ...]:
    """Undecided comparisons that fell beyond chance, and by more than is allowed as far as seen.

    Empty where the session lets what is undecided pass unseen.
    """
    if report.on_inconclusive == "pass":
        return ()
    return tuple(
        comparison
        for comparison in report.comparisons
        if comparison.outcome == "inconclusive"
        and (figure := deciding(comparison)) is not None
        and not figure.distance
        and figure.floor is None
        and figure.drop > figure.margin
        and figure.drop_low > 0
    )


def subject(comparison: Comparison) -> str:
    """What was judged: a capability, the worst bucket, forgetting, latency, or all samples.

    With the metric where that was judged instead of the score: ``all samples by recall@10``.
    """
    by = "" if comparison.metric is None else f" by {comparison.metric}"
    capability, named = comparison.capability, words_of(comparison).subject
    if not named:
        return f"{capability or 'all samples'}{by}"
    of = f" of {capability}" if capability else ""
    return f"{named}{of}{by}"


def falls(comparison: Comparison, *, several: bool) -> list[str]:
    """What a blocked comparison rests on: ``typo 0.72 -> 0.28``, with one of several task sets."""
    ratio, on = comparison.ratio, f" on {comparison.task_set}" if several else ""
    if ratio is not None and comparison.timed:
        times = f"x{ratio.ratio:.2f} of {comparison.against}'s time"
        return [f"{times}, x{ratio.limit:.2f} is allowed"]
    if ratio is not None:
        times = f"{ratio.name}{on} x{ratio.ratio:.2f} of {comparison.against}"
        return [f"{times}, x{ratio.limit:.2f} is allowed"]
    worst = deciding(comparison)
    if worst is None:
        return [f"{subject(comparison)}{on}"]
    if worst.distance:
        return [f"{worst.name}{on} {worst.candidate:.3g} nats a token, {worst.margin:.3g} allowed"]
    if worst.floor is not None:
        return [f"{_named(comparison, worst)}{on} {worst.candidate:.2f} < {worst.floor:.2f}"]
    blocked = [f for f in comparison.figures if f.verdict == "block"]
    return [
        f"{_named(comparison, f)}{on} {moved(f.baseline, f.candidate)}" for f in blocked or [worst]
    ]


def _named(comparison: Comparison, figure: Figures) -> str:
    name = comparison.capability or figure.name
    by = "" if comparison.metric is None else f" by {comparison.metric}"
    return f"{'all samples' if name == 'all' else name}{by}"


def headline(report: SessionReport) -> str:
    """One sentence: the verdict, the drops that were accepted, the rules that were overridden."""
    parts = [_headline(report)]
    if report.verdict != "accepted":  # whose own words name them
        parts += acceptances(report)
    if overridden := listed(one.words for one in report.overrides):
        parts.append(f"overridden: {overridden}")
    return f"{'; '.join(parts)}."


def acceptances(report: SessionReport) -> tuple[str, ...]:
    """``accepted a drop: int8 on words: all samples 1.00 -> 0.35``: what update mode gave up."""
    drops: dict[tuple[str, str], list[str]] = {}
    unjudged: dict[tuple[str, str], None] = {}
    for comparison in report.comparisons:
        key = (comparison.candidate, comparison.task_set)
        if comparison.accepted == "drop":
            drops.setdefault(key, []).extend(falls(comparison, several=False))
        elif comparison.accepted == "unjudged":
            unjudged[key] = None
    return (
        *(f"accepted a drop: {v} on {t}: {listed(fell)}" for (v, t), fell in drops.items()),
        *(f"accepted unjudged: {v} on {t}" for v, t in unjudged),
    )


def _headline(report: SessionReport) -> str:
    total = len(report.comparisons)
    unfinished = "" if report.complete else "; the run did not complete"
    blocked = [c for c in report.comparisons if c.outcome == "block"]
    if blocked:
        what = listed(f"{c.candidate} ({subject(c)})" for c in blocked)
        return f"BLOCK: {len(blocked)} of {plural(total, 'comparison')}: {what}{unfinished}"
    if report.errors:
        variants = listed(e.variant for e in report.errors if e.variant is not None)
        where = f" ({variants})" if variants else ""
        count = len(report.errors)
        return f"ERROR: {plural(count, 'test')} reached no verdict{where}{unfinished}"
    if report.verdict == "accepted":
        return f"ACCEPTED: {'; '.join(acceptances(report))}{unfinished}"
    if not total:
        return f"INCONCLUSIVE: nothing was compared{unfinished}"
    if report.verdict == "pass":
        variants = plural(len({c.candidate for c in report.comparisons}), "variant")
        every = "the comparison" if total == 1 else f"all {total} comparisons"
        return f"PASS: {every} of {variants} passed"
    open_ = sum(c.verdict == "inconclusive" for c in report.comparisons)
    if not open_:
        return f"INCONCLUSIVE: {total} of {plural(total, 'comparison')} passed{unfinished}"
    return (
        f"INCONCLUSIVE: {open_} of {plural(total, 'comparison')} could not be settled, "
        f"none blocks{unfinished}"
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


def unlike(report: SessionReport, variant: str, task_set: str | None = None) -> tuple[str, ...]:
    """Where a variant's media are not prepared as its reference's or its base's, each once.

    Args:
        report: the session.
        variant: the variant's name.
        task_set: the task set's name; None for all.
    """
    runs = (r for r in report.runs if r.variant == variant and task_set in (None, r.task_set))
    found = [
        *(one for c in of_variant(report, variant, task_set) for one in c.preprocessing),
        *(one for run in runs for one in run.preprocessing),
    ]
    first: dict[tuple[str, ...], Unlike] = {}
    for one in found:  # what reference and base have in common is told of the reference
        first.setdefault(one.changed, one)
    return tuple(map(str, first.values()))


def _no_margin(figure: Figures) -> bool:
    return figure.floor is None and figure.margin == 0.0


def _verdict(comparisons: Sequence[Comparison], errors: Sequence[TestError]) -> SessionVerdict:
    verdicts = {c.outcome for c in comparisons}
    if "block" in verdicts:
        return "block"
    if errors:
        return "error"
    if "accepted" in verdicts:
        return "accepted"
    return "pass" if verdicts == {"pass"} else "inconclusive"


def _merged(runs: Iterable[RunSummary]) -> list[RunSummary]:
    """Sorted; of one run the summary with the most samples, with churn, and the one that ran it."""
    kept: dict[tuple[str, ...], RunSummary] = {}

    def order(run: RunSummary) -> tuple[object, ...]:
        return (_run_key(run), -run.n, run.churn is None, run.cached, run.recorded or "")

    for run in sorted(runs, key=order):
        first = kept.setdefault(_run_key(run), run)
        if first.recorded is None and run.recorded is not None:
            kept[_run_key(run)] = dataclasses.replace(
                first, recorded=run.recorded, replaced=run.replaced
            )
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
