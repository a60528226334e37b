"""Which task sets are too small to pass, of what a session could not settle."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.enough import Size, too_small


def notes(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """A line for all samples and one for the capabilities of each task set, where too small.

    Args:
        comparisons: of the session; only what is inconclusive counts, and of its figures those
            that are of the score and have a margin: no floor, no distance, no ratio.
    """
    sizes: dict[str, list[Size]] = {}
    for comparison in comparisons:
        if comparison.outcome != "inconclusive" or comparison.metric is not None:
            continue
        for figures in comparison.figures:
            if figures.verdict == "inconclusive" and figures.baseline is not None:
                capability = None if figures.name == "all" else figures.name
                size = Size.of(
                    capability, figures.n, figures.clusters, figures.margin, figures.pass_alpha
                )
                sizes.setdefault(comparison.task_set, []).append(size)
    return tuple(
        f"{task_set}: {text}" for task_set in sorted(sizes) for text in too_small(sizes[task_set])
    )
