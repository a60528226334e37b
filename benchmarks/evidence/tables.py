"""What was found, as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.evidence.blocking import certainty, efficiency
from benchmarks.evidence.figures import ACCURACY, KL, METRICS, SCORES, Figures, difference
from benchmarks.evidence.ladder import Cell
from benchmarks.evidence.same import Pair


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seen(runs: Sequence[tuple[Figures, Figures]]) -> str:
    """What all samples show of each variant: drops, how certain they are, and the divergence."""
    rows = []
    for base, run in runs:
        cells = [run.variant]
        for metric in SCORES:
            d = float(difference(metric, base, run).mean())
            cells.append(f"{d:+.3f} ({certainty(metric, base, run):+.1f})")
        cells += [_share(efficiency(metric, base, run)) for metric in SCORES[1:]]
        cells.append("–" if math.isnan(run.kl) else f"{run.kl:.3f}")
        rows.append(cells)
    header = (
        "variant",
        *(f"{metric} (z)" for metric in SCORES),
        *(f"samples, {metric}" for metric in SCORES[1:]),
        "KL",
    )
    return table(header, rows)


def blocked(cells: Sequence[Cell], margin: float, sizes: Sequence[int]) -> str:
    """Shares of draws that are blocked at a margin."""
    rows = [
        [name, *(_shares(cells, name, metric, margin, sizes) for metric in METRICS)]
        for name in dict.fromkeys(cell.variant for cell in cells)
    ]
    return table(("variant", *METRICS), rows)


def _shares(
    cells: Sequence[Cell], name: str, metric: str, margin: float, sizes: Sequence[int]
) -> str:
    found = _one(cells, name, metric, margin)
    return "–" if found is None else " ".join(_percent(found.blocked[n]) for n in sizes)


def needed(cells: Sequence[Cell], margins: Sequence[float]) -> str:
    """Samples for a power of 0.8, and their ratio to what right or wrong needs."""
    rows = []
    for name in dict.fromkeys(cell.variant for cell in cells):
        for margin in margins:
            row = [name, f"{margin:g}"]
            accuracy = _one(cells, name, ACCURACY, margin)
            for metric in METRICS:
                found = _one(cells, name, metric, margin)
                row.append(_size(found, accuracy if metric in SCORES[1:] else None))
            rows.append(row)
    return table(("variant", "margin", *METRICS), rows)


def _one(cells: Sequence[Cell], name: str, metric: str, margin: float) -> Cell | None:
    found = (c for c in cells if (c.variant, c.metric, c.margin) == (name, metric, margin))
    return next(found, None)


def _size(found: Cell | None, accuracy: Cell | None) -> str:
    if found is None:
        return "–"
    if found.needed is None:
        return "never" if found.drop <= found.margin else "> 20000"
    if accuracy is None or accuracy.needed is None:
        return str(found.needed)
    return f"{found.needed} ({found.needed / accuracy.needed:.2f})"


def same(pairs: Sequence[Pair], margins: Sequence[str]) -> str:
    """How often the same model was blocked, and how far its runs lie apart."""
    rows = []
    for metric in METRICS:
        found = [pair for pair in pairs if pair.metric == metric]
        if not found:
            continue
        rows.append(
            [
                metric,
                str(len(found)),
                f"{max(abs(pair.drop) for pair in found):.4f}",
                "–" if metric == KL else f"{max(pair.worst for pair in found):.4f}",
                *(
                    str(sum(pair.blocked[name] for pair in found))
                    if all(name in pair.blocked for pair in found)
                    else "–"
                    for name in margins
                ),
            ]
        )
    header = ("metric", "pairs", "largest change of the mean", "largest drop of a capability")
    return table((*header, *(f"blocked at {name}" for name in margins)), rows)


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
