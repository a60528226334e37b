"""What a session found, in sentences for somebody who knows no statistics."""

from __future__ import annotations

from collections import Counter

from pytest_modellab.baselines.accepted import OWN_BASELINE
from pytest_modellab.gate.results import Figures, confidence_words
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.graded import GRADED
from pytest_modellab.reports import advice
from pytest_modellab.reports.session import (
    SessionReport,
    SessionVerdict,
    deciding,
    fell,
    of_variant,
)
from pytest_modellab.reports.words import listed, plural
from pytest_modellab.review.words import review_asks

MOST = 6
"""Drops that are told; more are counted."""


_MEANS: dict[SessionVerdict, str] = {
    "block": "Something got worse by more than is allowed, and not by chance: it should not be "
    "merged as it is.",
    "error": "It cannot be told whether anything got worse: some tests reached no verdict.",
    "accepted": "Something got worse, and was accepted with this change.",
    "inconclusive": "Nothing is shown to be worse, but there were too few questions to show that "
    "all is as good as before.",
    "pass": "Nothing got worse by more than is allowed.",
}


_OPEN = (
    "Something got worse, as far as can be seen by more than is allowed, and there are too few "
    "questions to be sure of that: read the replies before it is merged."
)


_CUT = "It cannot be told whether anything got worse: not every test reported."


_TABLES = (
    "drop: how much lower the success is; bound: what it would be at least (≥) or at most (≤) over "
    "many more such questions; adjusted p: how often chance alone does as much"
)


_ALPHA = (
    "alpha: how often, at most, a run in which nothing got worse is blocked all the same, by chance"
)


_OTHERS = "all words: docs/glossary.md of pytest-modellab"


_REVIEWED = (
    "what decides is weaker than before: `modellab review` fails until `[acknowledged]` in "
    "modellab.toml says why, and prints the lines to fill in."
)


def means(report: SessionReport) -> str:
    """Say what the verdict means for a merge, and whether a review asks for a reason."""
    verdict, complete = report.verdict, report.complete
    said = _MEANS[verdict] if complete or verdict != "inconclusive" else _CUT
    failed = verdict in ("block", "error") or not complete
    if verdict == "inconclusive" and complete:
        failed = report.on_inconclusive == "fail"
        said = _OPEN if fell(report) else said
        if failed:
            said = f"{said} The settings let that fail."
        elif not review_asks(report.notes):
            said = f"{said} The check does not fail."
    if review_asks(report.notes):
        return f"{said} {'Besides, ' if failed else 'The tests pass, but '}{_REVIEWED}"
    return said


def undecided(report: SessionReport) -> list[str]:
    """Say what the questions could not have shown, a sentence for each undecided variant.

    Args:
        report: the session.

    Returns:
        Unescaped sentences; empty where all is decided, or where nobody minds that it is not.
    """
    if report.on_inconclusive == "pass":
        return []
    found = [_fallen(comparison, report) for comparison in fell(report)]
    for variant in report.variants:
        open_ = advice.undecided(of_variant(report, variant))
        if open_ is None or not open_.drops:
            continue
        if open_.mde is None:
            found.append(f"{variant}: with so few questions no fall can be told from chance")
        else:
            found.append(
                f"{variant}: with this many questions a fall of less than "
                f"{_points(open_.mde)} points can look like chance"
            )
    more = len(found) - MOST
    return [*found[:MOST], *([f"and of {more} more variants"] if more > 0 else [])]


def legend(report: SessionReport) -> str:
    """Say what the words of the tables mean; empty where nothing was compared."""
    if not report.comparisons:
        return ""
    tables = any(c.figures and c.outcome in ("block", "accepted") for c in report.comparisons)
    shared = report.assertions > 1  # else nothing is said of alpha
    return "; ".join([*([_TABLES] * tables), *([_ALPHA] * shared), _OTHERS])


def drops(report: SessionReport) -> list[str]:
    """Say what was blocked, a sentence each: ``nf4: success on code fell by 30 points, …``.

    Args:
        report: the session.

    Returns:
        Unescaped sentences, the largest drop first, each variant and capability once; empty where
        nothing was blocked by a drop.
    """
    found: dict[tuple[str, str, str], tuple[float, str]] = {}
    for comparison in report.comparisons:
        if comparison.outcome != "block" or comparison.ratio is not None:
            continue
        figure = deciding(comparison)
        if figure is None or figure.distance:
            continue
        key = (comparison.candidate, figure.name, comparison.metric or "")
        told = (figure.drop, _sentence(comparison, figure, report))
        found[key] = max(found.get(key, told), told)
    ranked = [text for _, text in sorted(found.values(), key=lambda one: (-one[0], one[1]))]
    more = len(ranked) - MOST
    return [*ranked[:MOST], *([f"and {plural(more, 'more drop')}, below"] if more > 0 else [])]


def _sentence(comparison: Comparison, figure: Figures, report: SessionReport) -> str:
    who = _subject(comparison, figure, report)
    if figure.floor is not None:
        return (
            f"{who} is {_points(figure.candidate)} of 100, below the {_points(figure.floor)} that "
            "it must reach"
        )
    before = "" if figure.baseline is None else f" from {_points(figure.baseline)}"
    beside = _beside(comparison)
    allowed = f"a drop of {_points(figure.margin)} is" if figure.margin else "no drop is"
    return (
        f"{who} fell by {_points(figure.drop)} points{beside},{before} to "
        f"{_points(figure.candidate)} of 100, and {allowed} allowed; over many more such questions "
        f"it would be at least {_points(figure.drop_low)} points, with "
        f"{confidence_words(figure.level)} confidence{_worse(comparison, figure, report)}"
    )


def _subject(comparison: Comparison, figure: Figures, report: SessionReport) -> str:
    """Whose success, and on what: ``nf4: success on code``."""
    name = comparison.capability or figure.name
    on = "" if name == "all" else f" on {name}"
    where = f" of {comparison.task_set}" if len(report.task_sets) > 1 else ""
    return f"{comparison.candidate}: {comparison.metric or 'success'}{on}{where}"


def _beside(comparison: Comparison) -> str:
    return "" if comparison.against == OWN_BASELINE else f", beside the {comparison.against}"


def _fallen(comparison: Comparison, report: SessionReport) -> str:
    """``nf4: success on code fell by 30 points, from 80 to 50 of 100, …, and is undecided``."""
    figure = deciding(comparison)
    assert figure is not None
    return (
        f"{_subject(comparison, figure, report)} fell by {_points(figure.drop)} points"
        f"{_beside(comparison)}, to {_points(figure.candidate)} of 100, where a drop of "
        f"{_points(figure.margin)} is allowed; {plural(figure.n, 'question')} cannot "
        f"tell whether that much is chance{_worse(comparison, figure, report)}"
    )


def _worse(comparison: Comparison, figure: Figures, report: SessionReport) -> str:
    """In which capabilities samples got worse: ``; worse in language (4 of 4), code (1 of 3)``.

    Empty where one was judged, where there is one alone, and of a graded metric, of which not all
    samples are known that moved.
    """
    runs = (
        run
        for run in report.runs
        if (run.variant, run.task_set) == (comparison.candidate, comparison.task_set)
    )
    sizes = {one.name: one.n for run in runs for one in run.capabilities}
    if figure.name != "all" or comparison.metric in GRADED or len(sizes) < 2:
        return ""
    lost = Counter(flip.bucket.rpartition("/")[0] for flip in comparison.flips if flip.lost)
    ranked = sorted(lost, key=lambda name: (-lost[name], name))
    told = [f"{name} ({lost[name]} of {sizes[name]})" for name in ranked if name in sizes]
    return f"; worse in {listed(told)}" if told else ""


def _points(share: float) -> str:
    """A share of 1 as points of a hundred: whole ones from 1 on."""
    points = 100 * share
    return f"{points:.0f}" if abs(points) >= 1 or points == 0 else f"{points:.1f}"
