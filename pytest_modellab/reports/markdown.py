"""The report for a pull request or a CI step summary: ``--modellab-markdown PATH``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_modellab import atomic
from pytest_modellab.comparison import OWN_BASELINE, Comparison
from pytest_modellab.records import RunSummary, Verdict
from pytest_modellab.reports.session import (
    SessionReport,
    deciding,
    headline,
    next_step,
    of_variant,
    saved,
    variant_verdict,
)
from pytest_modellab.reports.table import (
    code,
    escape,
    markdown_table,
    reason,
    render_markdown,
    signed,
    title,
)
from pytest_modellab.reports.terminal import alpha_line, measurements

NOTHING = "–"
_ORDER: tuple[Verdict, ...] = ("block", "inconclusive", "pass")


def render(report: SessionReport, max_flips: int = 10) -> str:
    """The whole report in Markdown.

    Args:
        report: the session.
        max_flips: most flipped samples shown of one blocked comparison.

    Returns:
        Verdict, what to do next, one table a task set, the blocked comparisons; everything else is
        folded away, so that a run without findings fits one screen.
    """
    verdict, _, rest = headline(report).partition(": ")
    parts = [f"## Model gate: {verdict}", "", escape(rest)]
    steps = next_step(report)
    if steps:
        parts += ["", "What to do next:", "", *(f"- {escape(step)}" for step in steps)]
    for task_set in report.task_sets:
        parts += ["", f"### {escape(task_set)}", "", *_variants(report, task_set)]
        asked = [(v, saved(report, v, task_set)) for v in report.variants]
        lines = [f"- {escape(f'{v}: {text}')}" for v, text in asked if text is not None]
        parts += ["", *lines] if lines else []
    blocked = [c for c in report.comparisons if c.verdict == "block"]
    if blocked:
        parts += ["", "### Blocked"]
    for comparison in blocked:
        parts += ["", render_markdown(comparison, max_flips).rstrip("\n")]
    if report.errors:
        parts += ["", "### Errors", ""]
        parts += [f"- {code(e.test)}: {escape(e.summary)}" for e in report.errors]
    settled = [c for c in report.comparisons if c.verdict == "pass"]
    undecided = [c for c in report.comparisons if c.verdict == "inconclusive"]
    parts += _folded("inconclusive", undecided) + _folded("passed", settled)
    if report.assertions:
        parts += ["", f"<sub>{escape(alpha_line(report))}</sub>"]
    parts += [f"\n<sub>note: {escape(note)}</sub>" for note in report.notes]
    return "\n".join(parts) + "\n"


def write(report: SessionReport, path: Path) -> None:
    """Write the report to ``path`` so that a reader never meets half of it.

    Raises:
        OSError: the folder cannot be written.
    """
    atomic.write_text(path, render(report))


def _variants(report: SessionReport, task_set: str) -> list[str]:
    runs = {run.variant: run for run in report.runs if run.task_set == task_set}
    judged = [c for c in report.comparisons if c.task_set == task_set]
    columns = [name for name in _COLUMNS if any(_column(c) == name for c in judged)]
    rows = []
    for variant in report.variants:
        comparisons = of_variant(report, variant, task_set)
        run = runs.get(variant)
        if run is None and not comparisons:
            continue
        success = worst = measured = NOTHING
        kind = ""
        if run is not None:
            success = f"{run.mean:.2f} ± {run.stderr:.2f}"
            worst = f"{escape(run.worst.name)} {run.worst.mean:.2f}" if run.buckets else NOTHING
            measured = escape(", ".join(measurements(run))) or NOTHING
            kind = f" ({escape(run.kind)})"
        verdict = variant_verdict(report, variant, task_set)
        rows.append(
            [
                f"{escape(variant)}{kind}",
                success,
                worst,
                *(_cell([c for c in comparisons if _column(c) == name]) for name in columns),
                measured,
                f"**{verdict.upper()}**" if verdict is not None else _unjudged(run),
            ]
        )
    head = ["variant", "success", "worst bucket", *columns, "measured", "verdict"]
    return markdown_table(head, rows, right={1})


def _unjudged(run: RunSummary | None) -> str:
    return "baseline recorded" if run is not None and run.recorded is not None else "not judged"


_COLUMN_OF = {
    "no_drift": "since the anchor",
    "no_forgetting": "forgetting",
    "worst_bucket": "floor",
}
_COLUMNS = ("against own baseline", "since the anchor", "against base", "forgetting", "floor")


def _column(comparison: Comparison) -> str:
    if comparison.assertion != "no_regression":
        return _COLUMN_OF[comparison.assertion]
    return "against own baseline" if comparison.against == OWN_BASELINE else "against base"


def _cell(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return NOTHING
    if len(comparisons) == 1:
        (only,) = comparisons
        figure = deciding(only)
        if figure is None or figure.floor is not None:
            return only.verdict
        return f"{only.verdict}, drop {signed(figure.drop)}"
    counts = Counter(c.verdict for c in comparisons)
    return ", ".join(f"{counts[v]} {v}" for v in _ORDER if counts[v])


def _folded(name: str, comparisons: Sequence[Comparison]) -> list[str]:
    if not comparisons:
        return []
    lines = [f"- {escape(title(c))}: {escape(reason(c))}" for c in comparisons]
    summary = f"<summary>{len(comparisons)} {name}</summary>"
    return ["", "<details>", summary, "", *lines, "", "</details>"]
