"""Which passes say nothing, as what was compared with got nothing right."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modellab.baselines.accepted import OWN_BASELINE
from pytest_modellab.judging.comparison import Comparison

_SHOWN = 5
"""Capabilities that a note names."""


_OF = "baseline of "


_ALL = "all"
"""What figures of all samples are named."""


def notes(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """A line for each variant and what it was compared with, where nothing could get worse.

    Args:
        comparisons: of the session; only passes count, and of their figures those that are of the
            score and beside a run.
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for comparison in comparisons:
        if comparison.outcome != "pass" or comparison.metric is not None:
            continue
        at = comparison.task_set, comparison.candidate, comparison.against
        for figures in comparison.figures:
            if figures.baseline == 0.0:
                found.setdefault(at, {})[figures.name] = None
    return tuple(_note(*at, [*names]) for at, names in found.items())


def _note(task_set: str, candidate: str, against: str, names: list[str]) -> str:
    where = ""
    if _ALL not in names:
        more = len(names) - _SHOWN
        where = f" in {', '.join(names[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"
    name = against.removeprefix(_OF) if against.startswith(_OF) else candidate
    anew = " --new-anchor" if against.startswith("anchor") else ""
    beside = "its own baseline" if against == OWN_BASELINE else f"the {against}"
    return (
        f"{task_set}: {candidate} could only pass beside {beside}, which has nothing right{where}: "
        "check the prompt, the targets and the scorer, then accept again: "
        f"modellab accept {name} --task-set {task_set}{anew}"
    )
