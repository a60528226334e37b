"""A plan as text: what the samples notice, what to add, what to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from pytest_modellab.reports.text import grid
from pytest_modellab.tasksets.quality.affording import Affordable
from pytest_modellab.tasksets.quality.planning import Aim, TaskSetPlan
from pytest_modellab.tasksets.quality.settling import Evidence
from pytest_modellab.visible import line


def render(plan: TaskSetPlan, word: str, usd_per_hour: float | None = None) -> str:
    """Draw the table of a plan, and below it what it means for the run.

    Args:
        plan: the plan.
        word: what its buckets are, in the singular: ``capability``.
        usd_per_hour: price of the machine, or None.
    """
    graded = plan.pooled.sd is not None
    header = (
        *(word, "n", "clusters", *(["spread"] if graded else []), "risk", "notices", "power"),
        *("needs", "add", "add s", "to pass"),
    )
    rows = [
        (
            *(row.name, str(row.samples), str(row.clusters)),
            *([_drop(row.sd)] if graded else []),
            *(
                f"{row.level:.2g}",
                _drop(row.detectable),
                _chance(row.power),
                _number(row.needed),
                _number(row.add),
            ),
            *(_number(row.add_seconds), _number(row.pass_needed)),
        )
        for row in (*plan.buckets, plan.pooled)
    ]
    return "\n".join([_table(header, rows), *map(line, _summary(plan, word, usd_per_hour))])


def render_kept(before: TaskSetPlan, after: TaskSetPlan, word: str, budget: float) -> str:
    """Draw what a part of the samples notices beside what all of them do.

    Args:
        before: the plan of all samples.
        after: the plan of those kept.
        word: as in :func:`render`.
        budget: seconds that a run of one variant may take.
    """
    header = (word, "n", "kept", "seconds", "notices", "kept", "power", "kept")
    rows = [
        (
            *(old.name, str(old.samples), str(new.samples), f"{new.all_seconds or 0.0:.1f}"),
            *(_drop(old.detectable), _drop(new.detectable)),
            *(_chance(old.power), _chance(new.power)),
        )
        for old, new in zip(
            (*before.buckets, before.pooled), (*after.buckets, after.pooled), strict=True
        )
    ]
    lines = [
        f"to keep within {duration(budget)} for one variant: {after.pooled.samples} of "
        f"{before.pooled.samples} samples, equally many of each {word} as far as there are; at "
        "random and by whole clusters",
        _table(header, rows),
    ]
    pairs = zip(before.buckets, after.buckets, strict=True)
    if len({Fraction(new.samples, old.samples) for old, new in pairs}) > 1:
        lines.append(f"\nthe mean over all samples then weighs each {word} otherwise than now")
    return "\n".join(lines)


def render_settling(changes: Mapping[str, Sequence[Evidence]], question: Aim) -> list[str]:
    """Draw which metric settles a measured change with the fewest samples.

    Args:
        changes: what was measured, change in words → what each metric shows of it.
        question: what is asked.
    """
    header = (
        "change",
        "metric",
        "n",
        "drop",
        "spread",
        "z",
        "same z",
        "allowed",
        "settles",
        "share",
    )
    rows = [
        (
            words if place == 0 else "",
            *(
                one.metric,
                str(one.n),
                f"{one.drop:.3f}",
                _drop(one.sd),
                f"{one.z:.1f}",
                _share(one.certainty),
            ),
            *(f"{one.margin:g}", _settles(one), _share(one.ratio)),
        )
        for words, evidence in changes.items()
        for place, one in enumerate(evidence)
    ]
    table = grid.grid(header, rows, right=range(2, len(header)), ruled=True)
    return [
        f"samples that settle a change as measured, the mean of all of them, with power "
        f"{question.power:g}:",
        *grid.lines(table),
        line(
            "z: the drop in its standard errors, which says how sure it is; a drop of one metric "
            "is no drop of another, so compare z and samples, not drops"
        ),
        line("same z: the share of the score's samples that makes the metric as sure as the score"),
        line("share: of the samples that the score takes to settle it by the same verdict"),
    ]


def render_affordable(
    found: Sequence[Affordable], unknown: Sequence[str], plan: TaskSetPlan, minutes: float
) -> list[str]:
    """Draw what the time of a variant pays for on each device that is known.

    Args:
        found: what it pays for.
        unknown: the variants of which no run is known; named where there is no other.
        plan: what the samples that there are notice.
        minutes: what a run of one variant may take.
    """
    question, there = plan.question, plan.pooled
    lines = []
    if found:
        header = ("variant", "device", "samples a second", "samples", "notices", "from")
        rows = [
            (
                *(one.pace.variant, one.pace.device, f"{one.pace.rate:,.3g}"),
                *(f"{one.samples:,}", _drop(one.notices), one.pace.source),
            )
            for one in found
        ]
        table = grid.grid(header, rows, right=(2, 3, 4), ruled=True)
        lines = [
            f"what {minutes:g} min of one variant pay for, of samples like these:",
            *grid.lines(table),
            line(
                f"notices: the smallest drop of the mean that blocks with power {question.power:g}"
                f"; {question.allowed.mean:g} is allowed, and the {there.samples} samples that "
                f"are asked notice {_drop(there.detectable)}"
            ),
        ]
        least = min(found, key=lambda one: one.samples)
        if 0 < least.samples < there.samples:
            lines.append(
                line(
                    f"limit = {least.samples} keeps {least.pace.variant} on {least.pace.device} "
                    f"within {minutes:g} min"
                )
            )
    if unknown and not found:
        shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        lines.append(
            line(
                f"not known how fast: {shown}; accept them on the device that judges them: "
                f"modellab accept {unknown[0]}"
            )
        )
    return lines


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _settles(one: Evidence) -> str:
    return "nothing does" if one.needed is None else f"{one.needed} to {one.verdict}"


def duration(seconds: float) -> str:
    """``48 s``, ``3.2 min`` or ``2.5 h``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _summary(plan: TaskSetPlan, word: str, usd_per_hour: float | None) -> list[str]:
    question = plan.question
    worst, best = (find(plan.one_falls, key=plan.one_falls.__getitem__) for find in (min, max))
    low, high = _chance(plan.one_falls[worst]), _chance(plan.one_falls[best])
    alone = low if low == high else f"{low} ({worst}) to {high} ({best})"
    lines = [
        "",
        f"power of the run, a lower bound: {_chance(plan.all_fall)} if every {word} falls by "
        f"{question.drop:g}; {alone} if one alone does",
    ]
    if plan.add is None:
        lines.append(
            f"to add: nothing helps, for one {word} may drop by "
            f"{question.allowed.capability:g}; ask for more (--drop) or allow less (--margin)"
        )
    elif plan.add == 0:
        lines.append(f"to add: nothing, every {word} notices it")
    else:
        lines.append(
            f"to add, so that every {word} notices it: {plan.add} samples"
            f"{_cost(plan.add_seconds, usd_per_hour)}"
        )
    if plan.seconds is not None:
        lines.append(f"a run takes {duration(plan.seconds)} for one variant now")
    if question.allowed.capability == 0.0:
        lines.append(f"to pass: no {word} can at an allowed drop of 0")
        return lines
    rows = (*plan.buckets, plan.pooled)
    lacking = [row.name for row in rows if row.pass_needed and row.samples < row.pass_needed]
    shown = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
    found = f"too few samples in {len(lacking)}: {shown}" if lacking else "each has samples enough"
    lines.append(f"to pass with power {question.power:g} if nothing changes: {found}")
    return lines


def _cost(seconds: float | None, usd_per_hour: float | None) -> str:
    if seconds is None:
        return "; --seconds-per-sample tells what they cost"
    dollars = "" if usd_per_hour is None else f" and ${seconds / 3600 * usd_per_hour:.2g}"
    return f", {duration(seconds)}{dollars} more in every run of one variant"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = grid.grid(header, rows, right=range(1, len(header)), ruled=True)
    table.rows[-2].end_section = True  # the last is of all samples
    return "\n".join(grid.lines(table))


def _drop(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _chance(value: float) -> str:
    return "<.01" if value < 0.005 else ">.99" if value > 0.995 else f"{value:.2f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
