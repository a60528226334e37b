"""What is accepted beside what it comes from, by capability; and its graded metrics."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modellab.baselines.accepted import by_metric
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.beside import Beside
from pytest_modellab.records.graded import GRADED, PROBABILITY
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.reports.words import moved


def lines(found: Beside, against: str, run: RunRecord | None = None) -> list[str]:
    """Show a run beside another one: a row for all samples and for each capability.

    Args:
        found: the comparison.
        against: names the other run.
        run: the run, where it is also said how sure both were; else None.
    """
    from pytest_modellab.reports.text import grid

    if found.differs:
        return [f"  not compared with {against}: {'; '.join(found.differs)}"]
    rows = [
        (
            "all samples" if place == 0 else one.name,
            str(one.n),
            moved(one.baseline, one.candidate),
            _words(one),
        )
        for place, one in enumerate(found.figures)
    ]
    table = grid.grid(("", "samples", "success", ""), rows, right={1})
    # each has read its own replies: how likely they are compares where both read the same options
    told = [] if run is None else _moved(found.reference, run, [PROBABILITY])
    told = [f"    {one}" for one in (*told, *(f"note: {note}" for note in found.notes))]
    return [f"  beside {against}:", *(f"    {one}".rstrip() for one in grid.lines(table)), *told]


def _words(one: Figures) -> str:
    if one.verdict == "block":
        return "worse beyond chance"
    if not one.drop:
        return "the same"
    if one.drop < 0:
        return "higher"
    # where the loss of all that was right would not show, no loss is chance
    unseen = one.mde is None or one.mde > (one.baseline or 0.0)
    return f"too few ({one.n}) to tell" if unseen else "lower, within chance"


def nothing_to_lose(run: RunSummary) -> list[str]:
    """Warn of a run, or of capabilities, that score 0: compared with them, all passes."""
    if run.n == 0:
        return []
    of = "" if run.mean == 0 else ", ".join(one.name for one in run.capabilities if one.mean == 0)
    if run.mean != 0 and not of:
        return []
    return [
        f"  WARNING: nothing is right{f' in {of}' if of else ''}, so that nothing can get worse "
        "and every later run passes: check the prompt, the targets and the scorer"
    ]


def metrics(old: RunRecord, new: RunRecord, against: str) -> list[str]:
    """Say what became of the graded metrics, which are not judged here, and which are new.

    Args:
        old: the run that it is compared with.
        new: the run.
        against: names the old one.
    """
    found = [f"  compared with {against}: {one}" for one in _moved(old, new, GRADED)]
    runs = {metric: by_metric(new, metric) for metric in GRADED}
    added = [
        f"{metric} {run.mean:.3f}"
        for metric, run in runs.items()
        if run.samples and not by_metric(old, metric).samples
    ]
    return [*found, f"  kept from now on: {', '.join(added)}"] if added else found


def _moved(old: RunRecord, new: RunRecord, metrics: Iterable[str]) -> list[str]:
    """One line of the metrics that both runs have and that moved; none where none did."""
    found = []
    for metric in metrics:
        before, after = by_metric(old, metric), by_metric(new, metric)
        if before.samples and after.samples:
            shown = round(before.mean, 3), round(after.mean, 3)
            if shown[0] != shown[1]:
                change = shown[1] - shown[0]  # of what is printed, which a reader subtracts
                found.append(f"{metric} {shown[0]:.3f} -> {shown[1]:.3f} ({change:+.3f})")
    return [", ".join(found)] if found else []
