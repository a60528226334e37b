"""The section at the end of pytest's output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports import diagnosed, measured
from pytest_modellab.reports.advice import nearest, next_step, saved, undecided
from pytest_modellab.reports.session import (
    SessionReport,
    SessionVerdict,
    TestError,
    acceptances,
    fell,
    headline,
    of_variant,
    ratio_words,
    subject,
    unlike,
    variant_verdict,
    worst,
)
from pytest_modellab.reports.text import steps
from pytest_modellab.reports.text.diagnosis import pasted
from pytest_modellab.reports.text.table import reason
from pytest_modellab.reports.together import together
from pytest_modellab.reports.words import listed, number, plural
from pytest_modellab.visible import line

Line = tuple[str, dict[str, bool]]
"""Text and the markup of pytest's terminal writer, which knows NO_COLOR and FORCE_COLOR."""


MARKUP: dict[SessionVerdict | None, dict[str, bool]] = {
    "pass": {"green": True},
    "block": {"red": True, "bold": True},
    "error": {"red": True},
    "accepted": {"yellow": True},
    "inconclusive": {"yellow": True},
    None: {},
}


_MOST_PASTED = 24  # lines
_MOST_TOLD = 6  # lines


def lines(report: SessionReport, printed: Mapping[str, str] = MappingProxyType({})) -> list[Line]:
    """The section's lines; empty for a session that ran and judged nothing.

    Args:
        report: the session.
        printed: what keeps tests from a verdict and stands above on the screen → the test that it
            stands at. It is not said again.
    """
    if not (report.runs or report.comparisons or report.errors or report.notes):
        return []
    found: list[Line] = []
    shared = _shared(report)
    silent = {v for errors in shared.values() for e in errors if (v := e.variant) is not None}
    silent -= {r.variant for r in report.runs} | {c.candidate for c in report.comparisons}
    silent -= {e.variant for e in report.errors if e.told not in shared}
    for variant in report.variants:
        if variant not in silent:
            found += _variant(report, variant, shared, printed)
    for told, errors in shared.items():
        if errors[0].cause in printed:
            continue  # the steps below point at it
        names = listed(e.variant for e in errors if e.variant is not None)
        text = f"ERROR in {plural(len(errors), 'test')} of {names}: {told}"
        found.append((text, MARKUP["error"]))
    unnamed = (e for e in report.errors if e.variant is None and e.told not in shared)
    found += _errors(unnamed, printed)
    found += [(f"note: {note}", {"yellow": True}) for note in report.notes]
    found += [(text, {"yellow": True}) for text in acceptances(report)]
    found += [(f"overridden: {one}", {"yellow": True}) for one in report.overrides]
    if report.assertions and report.comparisons:
        found.append((alpha_line(report), {}))
    verdict = report.verdict
    found.append((headline(report), {**MARKUP[verdict], "bold": True}))
    following = next_step(report, open_questions=False, printed=printed)
    if following:
        found.append(("next:", {"bold": True}))
        found += [(f"  {step}", {}) for step in following]
    return [(line(text), markup) for text, markup in found]


def overall(reports: Sequence[SessionReport]) -> Line:
    """The verdict of a session with several configurations: ``BLOCK: 1 of 2 configurations: a``."""
    verdict = worst(reports)
    whose = [report.configuration for report in reports if report.verdict == verdict]
    text = f"{verdict.upper()}: {len(whose)} of {plural(len(reports), 'configuration')}"
    shown = f"{text}: {listed(whose)}" if len(whose) < len(reports) else text
    return line(shown), {**MARKUP[verdict], "bold": True}


def _shared(report: SessionReport) -> dict[str, tuple[TestError, ...]]:
    """What keeps tests of several variants from a verdict: it is said once."""
    return {
        told: errors
        for told, errors in report.causes.items()
        if len({e.variant for e in errors} - {None}) > 1
    }


def alpha_line(report: SessionReport) -> str:
    """How the run's risk of a false block is shared."""
    text = f"alpha {number(report.alpha)} shared by {plural(report.assertions, 'assertion')}"
    if report.assertions < 2:
        return text
    shares = {c.share for c in report.comparisons}
    if len(shares) > 1:
        return f"{text}: {number(min(shares))} to {number(max(shares))} each, by weight"
    return f"{text}: {number(shares.pop() if shares else report.alpha / report.assertions)} each"


def run_line(report: SessionReport, run: RunSummary) -> str:
    """``[Quantized] nf4  success=0.61 ±0.02  worst=arithmetic/hard 0.32  … -> PASS``."""
    parts = [f"[{run.kind.capitalize()}] {run.variant}"]
    if len(report.task_sets) > 1:
        parts.append(run.task_set)
    parts.append(measured.success_words(run, run.mean, run.stderr))
    if run.buckets:
        parts.append(f"worst={run.worst.name} {run.worst.mean:.2f}")
    parts += [*measured.in_line(run, run.mean), *measurements(run)]
    if run.missing:
        parts.append(f"{plural(run.missing, 'sample')} without a score")
    verdict = variant_verdict(report, run.variant, run.task_set)
    end = verdict.upper() if verdict is not None else "not judged"
    if run.recorded is not None:
        recorded = baseline_words(run)
        end = f"{end}, {recorded}" if verdict is not None else recorded
    return f"{'  '.join(parts)}  -> {end}"


def baseline_words(run: RunSummary) -> str:
    """What became of the baseline: ``baseline recorded (success was 0.61)``."""
    was = "" if run.replaced is None else f" (success was {run.replaced:.2f})"
    return f"baseline recorded{was}"


def _line_without_run(report: SessionReport, variant: str, task_set: str) -> str:
    """``[Quantized] nf4  latency x1.02, allowed x1.05 (against plain)  -> PASS``."""
    comparisons = of_variant(report, variant, task_set)
    parts = [f"[{comparisons[0].kind.capitalize()}] {variant}"]
    if len(report.task_sets) > 1:
        parts.append(task_set)
    parts += [
        f"{ratio_words(c.ratio)} (against {c.against})"
        for c in comparisons
        if c.ratio is not None and c.verdict != "inconclusive"  # told below
    ]
    verdict = variant_verdict(report, variant, task_set) or "not judged"
    return f"{'  '.join(parts)}  -> {verdict.upper()}"


def measurements(run: RunSummary) -> list[str]:
    """Time, size and steadiness for a reader, as far as they were measured.

    Without metrics, and without what a search takes: see :mod:`~pytest_modellab.reports.measured`.
    """
    parts = []
    seconds, size = run.probes.get("seconds"), run.probes.get("parameter_bytes")
    if seconds is not None and run.n and not measured.searched(run):
        milliseconds = 1000 * seconds / run.n
        digits = 0 if milliseconds >= 10 else 1
        parts.append(f"{milliseconds:.{digits}f} ms/sample{timing_note(run)}")
    if size is not None:
        parts.append(measured.memory_words(size))
    if "prefix_reused" in run.probes:
        parts.append(f"prefix cache {run.probes['prefix_reused']:.0%}")
    if "prompt_stability" in run.probes:
        parts.append(
            "stability={prompt_stability:.2f} spread={prompt_spread:.2f}".format(**run.probes)
        )
    if run.churn is not None:
        parts.append(f"churn={run.churn:.1%}{' (abnormal)' if run.abnormal_churn else ''}")
    return parts


def timing_note(run: RunSummary) -> str:
    """What to know of a run's times: `` (under xdist, stored)``."""
    notes = [
        *(["under xdist"] if run.environment.get("workers") else []),
        *(["stored"] if run.cached else []),
    ]
    return f" ({', '.join(notes)})" if notes else ""


def _variant(
    report: SessionReport, variant: str, said: Collection[str], printed: Mapping[str, str]
) -> list[Line]:
    """The lines of one variant, but for what is ``said`` of several."""
    found: list[Line] = []
    comparisons = of_variant(report, variant)
    runs = [run for run in report.runs if run.variant == variant]
    # before any score: it may be why the others are what they are
    found += [(f"{variant}: {one}", {"yellow": True}) for one in unlike(report, variant)]
    unnamed = len(found)
    for run in runs:
        verdict = variant_verdict(report, variant, run.task_set)
        found.append((run_line(report, run), MARKUP[verdict]))
        if (words := measured.search_words(run, timing_note(run))) is not None:
            found.append((f"  {words}", {}))
        if (words := measured.index_words(run)) is not None:
            found.append((f"  index: {words}", {}))
        if (words := measured.media_words(run)) is not None:
            found.append((f"  {words}", {}))
        if (text := saved(report, variant, run.task_set)) is not None:
            found.append((f"  {text}", {}))
    for _, task_set in (pair for pair in report.without_run if pair[0] == variant):
        verdict = variant_verdict(report, variant, task_set)
        found.append((_line_without_run(report, variant, task_set), MARKUP[verdict]))
    if len(found) == unnamed:
        verdict = variant_verdict(report, variant)
        end = verdict.upper() if verdict is not None else "not judged"
        found.append((f"{variant}  -> {end}", MARKUP[verdict]))
    for comparison in comparisons:
        if comparison.outcome in ("block", "accepted"):
            what = f"{subject(comparison)} against {comparison.against}"
            if len(report.task_sets) > 1:
                what = f"{what} on {comparison.task_set}"
            text = f"  {comparison.outcome.upper()} {what}: {reason(comparison)}"
            found.append((text, MARKUP[comparison.outcome]))
    if (diagnosis := report.diagnoses.get(variant)) is not None:
        found.append((f"  {diagnosed.one_line(diagnosis)}", {"bold": True}))
        found += _pasted(diagnosis)
    open_ = undecided(comparisons)
    if open_ is not None and report.on_inconclusive != "pass":
        found.append((f"  INCONCLUSIVE {open_}", MARKUP["inconclusive"]))
        if (near := nearest(comparisons, several=len(report.task_sets) > 1)) is not None:
            found.append((f"    nearest to a block: {near}", {}))
        for comparison in fell(report):
            if comparison.candidate == variant and (shown := steps.beside(comparison)):
                found.append((f"    side by side: {shown}{report.called.option}", {}))
    told = together(comparisons)
    found += [(f"    {text}", {}) for text in told[:_MOST_TOLD]]
    if len(told) > _MOST_TOLD:
        found.append((f"    and {len(told) - _MOST_TOLD} more, in --modellab-json PATH", {}))
    own = (e for e in report.errors if e.variant == variant and e.told not in said)
    return found + _errors(own, printed)


def _pasted(diagnosis: Diagnosis) -> list[Line]:
    """The lines to paste; of a long list where they are."""
    block = pasted(diagnosis)
    if len(block) <= _MOST_PASTED:
        return [(f"    {text}", {}) for text in block]
    names = f"{diagnosis.base.name} {diagnosis.candidate.name}"
    return [(f"    modellab diagnose {names} prints the {len(block)} lines to paste", {})]


def _errors(errors: Iterable[TestError], printed: Mapping[str, str]) -> list[Line]:
    """One line a message: what keeps one test of a variant from a verdict keeps most of them."""
    tests: dict[str, list[str]] = {}
    for error in errors:
        said = ", told above" if error.cause in printed else f": {error.summary}"
        tests.setdefault(said, []).append(error.test)
    return [
        (
            f"  ERROR {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}{said}",
            MARKUP["error"],
        )
        for said, names in tests.items()
    ]
