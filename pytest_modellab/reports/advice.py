"""What a verdict leaves to do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pytest_modellab.baselines.accepted import OWN_BASELINE
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.graded import GRADED
from pytest_modellab.reports import measured
from pytest_modellab.reports.session import (
    SessionReport,
    _no_margin,
    deciding,
    falls,
    of_variant,
    ratio_words,
    subject,
    unlike,
)
from pytest_modellab.reports.words import both, listed, moved, number, urgency, words_of


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
        ratios: what the ratios and distances that are undecided were, of latency for example;
            empty without.
        drops: whether anything else is undecided.
    """

    count: int
    total: int
    mde: float | None
    mde_of: str
    more: int | None
    more_of: str
    stuck: int
    no_margin: bool
    ratios: str = ""
    drops: bool = True

    def __str__(self) -> str:
        parts = [f"{self.count} of {self.total} undecided"]
        if self.ratios:
            parts.append(self.ratios)
        if not self.drops:
            pass
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
    detectable = [(f.mde, name) for f, name in figures if f.mde is not None and not f.distance]
    needed = [(f.more, name) for f, name in figures if f.more is not None]
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
        ratios="; ".join(
            [
                *(ratio_words(c.ratio) for c, _ in found if c.ratio is not None),
                *(_distance_words(f) for f, _ in figures if f.distance),
            ]
        ),
        drops=any(not f.distance for f, _ in figures),
    )


def _distance_words(figures: Figures) -> str:
    return f"{figures.name} {number(figures.candidate)}, allowed {number(figures.margin)}"


def nearest(comparisons: Iterable[Comparison], *, several: bool = False) -> str | None:
    """The inconclusive comparison that came closest to a block, in words; None without one.

    Args:
        comparisons: of one variant.
        several: the session has several task sets, so that this one's is named.
    """
    found = [
        (figures, comparison)
        for comparison in comparisons
        if comparison.verdict == "inconclusive" and (figures := deciding(comparison)) is not None
    ]
    if not found:
        return None
    figures, comparison = min(found, key=lambda pair: (pair[0].p_adjusted, pair[1].test))
    if figures.distance:
        seen = _distance_words(figures)
    elif figures.floor is not None:
        seen = f"{figures.name} {figures.candidate:.2f}, floor {number(figures.floor)}"
    else:
        one_of_several = comparison.capability is None and figures.name != "all"
        named = f" ({figures.name})" if one_of_several else ""
        seen = (
            f"{subject(comparison)}{named} against {comparison.against} "
            f"{moved(figures.baseline, figures.candidate)}, "
            f"allowed drop {number(figures.margin)}"
        )
    on = f"{comparison.task_set}: " if several else ""
    return f"{on}{seen}, p = {figures.p_adjusted:.2g}, blocks at {number(figures.alpha)}"


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


def next_step(
    report: SessionReport,
    *,
    open_questions: bool = True,
    printed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, ...]:
    """What to do next, ordered by cause; empty where all is well.

    What keeps tests from a verdict comes first, then missing baselines, then what blocks, then what
    is undecided.

    Args:
        report: the session.
        open_questions: False leaves out what would settle the inconclusive comparisons.
        printed: what keeps tests from a verdict and stands above for the reader → the test that
            it stands at.
    """
    lines = [*_mending(report, printed)]
    if not report.complete:
        lines.append("run again: not every test reported")
    for variant in report.variants:
        blocked = [c for c in of_variant(report, variant) if c.outcome == "block"]
        groups: dict[str, list[Comparison]] = {}
        for comparison in sorted(blocked, key=lambda c: urgency(words_of(c))):
            groups.setdefault(words_of(comparison).heading, []).append(comparison)
        if blocked and unlike(report, variant):
            lines.append(
                f"{variant}: decide first whether its other preprocessing is wanted: a model reads "
                "images and recordings as it was trained to"
            )
        lines += [after_block(variant, group, report.called.option) for group in groups.values()]
        lines += of_the_index(report, blocked)
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


def _mending(report: SessionReport, printed: Mapping[str, str]) -> Iterator[str]:
    """What keeps tests from a verdict: each cause once, whatever number of tests it concerns."""
    for told, errors in report.causes.items():
        commands = [e.command for e in errors if e.missing_baseline and e.command]
        for command in _joined(commands):
            yield f"record the missing baseline{'s' * (command not in commands)}: {command}"
        if commands:
            continue
        whom = listed(e.variant or e.test for e in errors)
        if (test := printed.get(errors[0].cause)) is None:
            yield f"no verdict on {whom} until this is put right: {told}"
        else:
            yield f"no verdict on {whom} until what {test} says above is put right"


def _joined(commands: Iterable[str]) -> Iterator[str]:
    """One ``modellab accept`` for all variants that are accepted with the same options."""
    accept = "modellab accept "
    variants: dict[str, list[str]] = {}
    for command in dict.fromkeys(commands):
        if not command.startswith(accept):
            yield command
            continue
        variant, space, options = command.removeprefix(accept).partition(" ")
        variants.setdefault(f"{space}{options}", []).append(variant)
    yield from (f"{accept}{' '.join(names)}{end}" for end, names in variants.items())


def after_block(variant: str, blocked: Sequence[Comparison], option: str = "") -> str:
    """Say what to do after blocks of one heading, as the most urgent of them has it.

    Args:
        variant: that was blocked.
        blocked: the comparisons.
        option: by which a command names the configuration, where it has to.
    """
    words = min(map(words_of, blocked), key=urgency)
    if all(c.metric in GRADED and c.words is None for c in blocked):  # none of them flips
        moved = words.advice.replace("flipped samples", "samples that moved most")
        words = dataclasses.replace(words, advice=moved)
    task_sets = tuple(dict.fromkeys(c.task_set for c in blocked))
    fell = [one for c in blocked for one in falls(c, several=len(task_sets) > 1)]
    return words.advise(
        variant=variant,
        against=listed(c.against for c in blocked),
        what=listed(fell),
        task_sets="".join(f" --task-set {name}" for name in task_sets) + option,
        margin=_allowing(blocked),
    )


def _allowing(blocked: Iterable[Comparison]) -> str:
    """The settings by which none of them would block: ``margin above 0.12 in [task_sets.x]``."""
    least: dict[tuple[str, str], float] = {}
    for comparison in blocked:
        table = f"[task_sets.{comparison.task_set}]"
        if comparison.metric is not None:
            table = f"{table[:-1]}.metrics.{comparison.metric}]"
        rule = "margin" if comparison.capability is None else "capability_margin"
        for figure in comparison.figures:
            if figure.verdict == "block" and not figure.distance:
                least[rule, table] = max(figure.drop_low, least.get((rule, table), 0.0))
    return both([_above(*named, drop) for named, drop in least.items()]) if least else "margin"


def _above(rule: str, table: str, drop: float) -> str:
    # a digit more may be cut off: what is told must lie above the bound
    bound = math.ceil(drop * 1000) / 1000
    if bound >= 1:
        return f"no {rule} in {table} is large enough"
    return f"{rule} above {number(bound)} in {table}"


SEEN = 0.005
"""Scores that differ by less look the same with two digits."""


def of_the_index(report: SessionReport, blocked: Sequence[Comparison]) -> list[str]:
    """Where exact search would score more than a blocked variant: its index is to be looked at."""
    judged = {(c.candidate, c.task_set) for c in blocked if not c.timed}
    several = len(report.task_sets) > 1
    return [
        f"{run.variant}: look at its index before the model"
        f"{f' on {run.task_set}' if several else ''}: {measured.index_words(run)}"
        for run in report.runs
        if (run.variant, run.task_set) in judged and measured.index_loss(run) >= SEEN
    ]
