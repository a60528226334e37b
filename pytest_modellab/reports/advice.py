"""What a verdict leaves to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pytest_modellab.baselines.accepted import OWN_ANCHOR, OWN_BASELINE
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports import measured
from pytest_modellab.reports.session import (
    SessionReport,
    _is_floor,
    _no_margin,
    deciding,
    latency_words,
    of_variant,
    subject,
)
from pytest_modellab.reports.words import listed, number


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
        kinds = dict.fromkeys(kind_of_block(c) for c in blocked)
        for kind in sorted(kinds, key=BLOCKS.index):
            group = [c for c in blocked if kind_of_block(c) == kind]
            lines.append(after_block(variant, kind, group))
        lines += of_the_index(report, blocked)
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


BLOCKS = ("own", "base", "drift", "forgetting", "floor", "slowdown")


def kind_of_block(comparison: Comparison) -> str:
    """Name what a blocked comparison is about."""
    if comparison.assertion == "no_slowdown":
        return "slowdown"
    if _is_floor(comparison):
        return "floor"
    if comparison.assertion in ("no_drift", "no_forgetting"):
        return subject(comparison)
    return "own" if comparison.against == OWN_BASELINE else "base"


def after_block(variant: str, kind: str, blocked: Sequence[Comparison]) -> str:
    """Say what to do after blocks of one kind."""
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


SEEN = 0.005
"""Scores that differ by less look the same with two digits."""


def of_the_index(report: SessionReport, blocked: Sequence[Comparison]) -> list[str]:
    """Where exact search would score more than a blocked variant: its index is to be looked at."""
    judged = {(c.candidate, c.task_set) for c in blocked if c.ratio is None}
    several = len(report.task_sets) > 1
    return [
        f"{run.variant}: look at its index before the model"
        f"{f' on {run.task_set}' if several else ''}: {measured.index_words(run)}"
        for run in report.runs
        if (run.variant, run.task_set) in judged and measured.index_loss(run) >= SEEN
    ]
