"""The report for a pull request or a CI step summary: ``--modellab-markdown PATH``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_modellab.judging.comparison import Comparison, Outcome
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports import measured
from pytest_modellab.reports.advice import next_step, saved
from pytest_modellab.reports.session import (
    SessionReport,
    SessionVerdict,
    acceptances,
    deciding,
    fell,
    headline,
    of_variant,
    unlike,
    variant_verdict,
    worst_first,
)
from pytest_modellab.reports.text import blocked, sentences
from pytest_modellab.reports.text import diagnosis as diagnoses
from pytest_modellab.reports.text.folded import details
from pytest_modellab.reports.text.table import (
    code,
    escape,
    markdown_table,
    measured_markdown,
    reason,
    signed,
    title,
)
from pytest_modellab.reports.text.terminal import (
    alpha_line,
    baseline_words,
    measurements,
    timing_note,
)
from pytest_modellab.reports.together import together
from pytest_modellab.reports.words import COLUMNS, number, words_of
from pytest_modellab.store import atomic

NOTHING = "–"


COMMENT_BYTES = 65_000
"""GitHub refuses a comment of more than 65,536 characters."""


_MOST_STEPS = 8


_FEWER_FLIPS = 3


_CUT = (
    "**The report is cut here**, since the place that it was written for takes no more; "
    "`--modellab-json PATH` has all of it.\n"
)


_ORDER: tuple[Outcome, ...] = ("block", "accepted", "inconclusive", "pass")


def render(report: SessionReport, max_flips: int = 10, most: int = COMMENT_BYTES) -> str:
    """The whole report in Markdown.

    Args:
        report: the session.
        max_flips: most flipped samples shown of one blocked comparison.
        most: bytes that it may have; fewer flipped samples are shown where it would have more, and
            where even that is too much it is cut and says so.

    Returns:
        Verdict, what to do next, a table, the first replies of what is blocked. The rest is folded
        away, so that a reader has the whole on one screen: of several task sets the table says the
        verdict on each and those of the task sets are folded, as are all figures and further
        replies of what is blocked.
    """
    for flips in sorted({max_flips, min(max_flips, _FEWER_FLIPS), 0}, reverse=True):
        text = _render(report, flips)
        if len(text.encode()) <= most:
            return text
    return cut(text, most)


def render_all(reports: Sequence[SessionReport], most: int = COMMENT_BYTES) -> str:
    """The report, or those of several configurations, the worst first, each with its share.

    Args:
        reports: of one session.
        most: bytes that they may have together.
    """
    told = [report for report in worst_first(reports) if not report.empty] or reports[:1]
    return "\n".join(render(report, most=most // len(told)) for report in told)


def cut(text: str, most: int) -> str:
    """Markdown cut after a line, with a sentence that says so.

    Args:
        text: in Markdown.
        most: bytes that it may have.

    Returns:
        The text as it is where it fits; empty where not even the sentence does.
    """
    if len(text.encode()) <= most:
        return text
    close = "\n\n</details>\n\n"
    room = most - len((close + _CUT).encode())
    if room < 0:
        return ""
    kept = text.encode()[:room].decode(errors="ignore")
    kept = kept[: kept.rfind("\n") + 1].rstrip("\n")
    is_open = kept.count("<details") > kept.count("</details>")
    return kept + (close if is_open else "\n\n") + _CUT


def _render(report: SessionReport, max_flips: int) -> str:
    verdict, _, rest = headline(report).partition(": ")
    named = f", {escape(report.configuration)}" if report.configuration else ""
    parts = [f"## Model gate: {verdict}{named}", "", escape(rest)]
    told = [*sentences.drops(report), *sentences.undecided(report)]
    if report.comparisons or report.errors:
        parts += ["", sentences.means(report)]
    parts += ["", *(f"- {escape(one)}" for one in told)] if told else []
    changed = [(v, one) for v in report.variants for one in unlike(report, v)]
    parts += ["", *(f"- **{escape(f'{v}: {one}')}**" for v, one in changed)] if changed else []
    shown, later = _steps(report)
    if shown:
        parts += ["", "What to do next:", "", *shown]
    several = len(report.task_sets) > 1
    if several:
        parts += ["", *_overview(report)]
    for task_set in report.task_sets:
        lines = _variants(report, task_set)
        asked = [(v, saved(report, v, task_set)) for v in report.variants]
        saves = [f"- {escape(f'{v}: {text}')}" for v, text in asked if text is not None]
        told = [f"- {escape(f'{v}: {text}')}" for v, text in _together(report, task_set)]
        lines += ["", *saves, *told] if saves or told else []
        parts += (
            details(escape(task_set), lines)
            if several
            else ["", f"### {escape(task_set)}", "", *lines]
        )
    parts += blocked.lines(
        [c for c in report.comparisons if c.outcome == "block"], max_flips, report.called
    )
    parts += blocked.lines(fell(report), max_flips, report.called, "Fallen, and undecided")
    if accepted := [c for c in report.comparisons if c.outcome == "accepted"]:
        parts += ["", "### Accepted", *blocked.folded(accepted, max_flips)]
    parts += _diagnoses(report)
    if report.errors:
        parts += ["", "### Errors", ""]
        parts += [f"- {code(e.test)}: {escape(e.summary)}" for e in report.errors]
    settled = [c for c in report.comparisons if c.outcome == "pass"]
    undecided = [c for c in report.comparisons if c.outcome == "inconclusive"]
    parts += details("what else to do", later) if later else []
    parts += _folded("inconclusive", undecided) + _folded("passed", settled)
    if report.assertions > 1:  # of one there is nothing to share
        parts += ["", f"<sub>{escape(alpha_line(report))}</sub>"]
    if legend := sentences.legend(report):
        parts += ["", f"<sub>{escape(legend)}</sub>"]
    parts += [f"\n<sub>{escape(text)}</sub>" for text in acceptances(report)]
    parts += [f"\n<sub>overridden: {escape(str(one))}</sub>" for one in report.overrides]
    parts += [f"\n<sub>note: {escape(note)}</sub>" for note in report.notes]
    return "\n".join(parts) + "\n"


def _together(report: SessionReport, task_set: str) -> list[tuple[str, str]]:
    """What graded evidence says beside the score, with the variant."""
    return [
        (variant, text)
        for variant in report.variants
        for text in together(of_variant(report, variant, task_set))
    ]


def _diagnoses(report: SessionReport) -> list[str]:
    """Why what was blocked is worse, each folded where there are several."""
    found = [diagnoses.markdown(one).rstrip("\n") for one in report.diagnoses.values()]
    if not found:
        return []
    if len(found) == 1:
        return ["", "### Why", "", *found]
    named = zip(report.diagnoses.values(), found, strict=True)
    folded = [
        line
        for one, text in named
        for line in details(escape(f"{one.candidate.name}: {one.headline}"), [text])
    ]
    return ["", "### Why", *folded]


def write(reports: Sequence[SessionReport], path: Path) -> None:
    """Write the report, or those of several configurations, so that nobody ever meets half of it.

    Raises:
        OSError: the folder cannot be written.
    """
    atomic.write_text(path, render_all(reports))


def _steps(report: SessionReport) -> tuple[list[str], list[str]]:
    """What to do next as list items: what is shown, and what is folded where it is too much."""
    every = [f"- {escape(step)}" for step in next_step(report)]
    if len(every) <= _MOST_STEPS:
        return every, []
    urgent = [f"- {escape(step)}" for step in next_step(report, open_questions=False)]
    shown = urgent[:_MOST_STEPS]
    return shown, [step for step in every if step not in shown]


def _overview(report: SessionReport) -> list[str]:
    """Each variant's success and verdict on each task set."""
    means = {(run.variant, run.task_set): run.mean for run in report.runs}
    rows = []
    for variant in report.variants:
        cells = []
        for task_set in report.task_sets:
            mean = means.get((variant, task_set))
            # errors count towards every task set, those of a variant that was judged nowhere alone
            judged = of_variant(report, variant, task_set) or not of_variant(report, variant)
            verdict = variant_verdict(report, variant, task_set) if judged else None
            known = [
                *([f"{mean:.2f}"] if mean is not None else []),
                *([_emphasized(verdict)] if verdict is not None else []),
            ]
            cells.append(" ".join(known) or NOTHING)
        rows.append([escape(variant), *cells])
    return markdown_table(["variant", *(escape(t) for t in report.task_sets)], rows, right=set())


def _emphasized(verdict: SessionVerdict) -> str:
    return f"**{verdict.upper()}**" if verdict in ("block", "error", "accepted") else verdict


def _variants(report: SessionReport, task_set: str) -> list[str]:
    runs = {run.variant: run for run in report.runs if run.task_set == task_set}
    judged = [c for c in report.comparisons if c.task_set == task_set]
    columns = _columns(judged)
    rows = []
    for variant in report.variants:
        comparisons = of_variant(report, variant, task_set)
        run = runs.get(variant)
        if run is None and not comparisons:
            continue
        success = worst = taken = NOTHING
        kind = f" ({escape(comparisons[0].kind)})" if comparisons else ""
        if run is not None:
            success = f"{run.mean:.2f} ± {run.stderr:.2f}"
            worst = f"{escape(run.worst.name)} {run.worst.mean:.2f}" if run.buckets else NOTHING
            note = timing_note(run).strip(" ()") if measured.searched(run) else ""
            notes = [f"times {note}"] if note else []
            taken = escape(", ".join([*measurements(run), *notes])) or NOTHING
            kind = f" ({escape(run.kind)})"
        verdict = variant_verdict(report, variant, task_set)
        rows.append(
            [
                f"{escape(variant)}{kind}",
                success,
                worst,
                *(
                    _cell([c for c in comparisons if words_of(c).heading == name])
                    for name in columns
                ),
                taken,
                _stands(verdict, run),
            ]
        )
    success = escape(measured.success_title((run, run.mean) for run in runs.values()))
    head = ["variant", success, "worst bucket", *columns, "measured", "verdict"]
    found = measured_markdown([(name, runs[name]) for name in report.variants if name in runs])
    return [*markdown_table(head, rows, right={1}), *found]


def _stands(verdict: SessionVerdict | None, run: RunSummary | None) -> str:
    if verdict is None:
        return _unjudged(run)
    was = "" if run is None or run.replaced is None else f", {baseline_words(run)}"
    return f"**{verdict.upper()}**{was}"


def _unjudged(run: RunSummary | None) -> str:
    return baseline_words(run) if run is not None and run.recorded is not None else "not judged"


def _columns(comparisons: Iterable[Comparison]) -> list[str]:
    """The headings of what was judged, those of added assertions last."""
    found = {words_of(c).heading for c in comparisons}
    return [name for name in COLUMNS if name in found] + sorted(found.difference(COLUMNS))


def _cell(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return NOTHING
    if len(comparisons) == 1:
        (only,) = comparisons
        figure = deciding(only)
        if only.ratio is not None:
            return f"{only.outcome}, x{only.ratio.ratio:.2f}"
        if figure is None or figure.floor is not None:
            return only.outcome
        if figure.distance:
            return f"{only.outcome}, {figure.name} {number(figure.candidate)}"
        return f"{only.outcome}, drop {signed(figure.drop)}"
    counts = Counter(c.outcome for c in comparisons)
    return ", ".join(f"{counts[v]} {v}" for v in _ORDER if counts[v])


def _folded(name: str, comparisons: Sequence[Comparison]) -> list[str]:
    if not comparisons:
        return []
    lines = [f"- {escape(title(c))}: {escape(reason(c))}" for c in comparisons]
    return details(f"{len(comparisons)} {name}", lines)
