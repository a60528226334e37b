"""Shares of blocks by samples, a panel a variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.evidence.figures import METRICS
from benchmarks.evidence.ladder import Cell

COLOURS = ("#444444", "#0072b2", "#d55e00", "#009e73")
"""Okabe and Ito's, which colour-blind readers tell apart."""

MARKS = ("o", "s", "^", "D")

COLUMNS = 4


def draw(cells: Sequence[Cell], margin: float, names: Sequence[str], path: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = -(-len(names) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(11, 2.5 * rows), sharex=True, sharey=True, squeeze=False
    )
    for place, axis in enumerate(axes.flat):
        if place >= len(names):
            axis.set_visible(False)
            continue
        name = names[place]
        axis.set_title(name, fontsize=10)
        for metric, colour, mark in zip(METRICS, COLOURS, MARKS, strict=True):
            for cell in cells:
                if (cell.variant, cell.metric, cell.margin) == (name, metric, margin):
                    sizes = list(cell.blocked)
                    axis.plot(
                        sizes,
                        [cell.blocked[n] for n in sizes],
                        color=colour,
                        marker=mark,
                        markersize=4,
                        linewidth=1.4,
                        label=metric,
                    )
        axis.set_xscale("log")
        axis.set_xticks([30, 60, 120, 240, 480], ["30", "60", "120", "240", "480"])
        axis.minorticks_off()
        axis.axhline(0.8, color="#bbbbbb", linewidth=0.8, zorder=0)
        axis.set_ylim(-0.03, 1.03)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(METRICS), frameon=False)
    figure.supxlabel("samples", fontsize=10)
    figure.supylabel("share of draws that are blocked", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.1 / rows))
    figure.savefig(path, dpi=110)
    plt.close(figure)
