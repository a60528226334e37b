"""The table by kind and background, and whether the targets are met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

EXACT = 0.95
PROOF = 0.02
"""How far the printed proof may lie from the one measured again."""


def text(rows: Sequence[Row]) -> str:
    """Everything that is printed at the end."""
    return "\n\n".join((_by_kind(rows), _totals(rows), *_failures(rows)))


def missed(rows: Sequence[Row]) -> list[str]:
    """Sentences about targets that are not met."""
    found = []
    for background, some in _groups(rows, "background").items():
        counted = _counted(some)
        exact = sum(row["exact"] for row in counted)
        if counted and exact < EXACT * len(counted):
            found.append(f"{background}: {exact} of {len(counted)} exact, not {EXACT:.0%}")
    named = [row for row in rows if row["harmless"] and not row["exact"]]
    if named:
        found.append(f"{len(named)} harmless candidates got a name or could not be examined")
    apart = [row for row in rows if _apart(row) > PROOF]
    if apart:
        found.append(f"{len(apart)} printed proofs lie more than {PROOF} from what was measured")
    return found


def _apart(row: Row) -> float:
    if row["measured"] is None or row["printed"] is None:
        return 0.0
    return abs(float(row["measured"]) - float(row["printed"]))


def _counted(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["effect"]]


def _groups(rows: Iterable[Row], field: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[field], []).append(row)
    return found


def _of(rows: Sequence[Row], field: str = "exact") -> str:
    right = sum(row[field][1] if isinstance(row[field], list) else row[field] for row in rows)
    return f"{right} of {len(rows)}" if rows else "–"


def _table(lines: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    whole = [list(head), ["---"] * len(head), *map(list, lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in whole)


def _by_kind(rows: Sequence[Row]) -> str:
    """A line a kind, a column a background: exact of those with an effect."""
    columns = list(_groups((row for row in rows if not row["harmless"]), "background"))
    lines = []
    for kind, some in _groups((row for row in rows if not row["harmless"]), "kind").items():
        counted = _counted(some)
        cells = [_of([row for row in counted if row["background"] == one]) for one in columns]
        others = [_of(counted, one) for one in ("first_divergence", "largest_weight_error")]
        lines.append([kind, *cells, _of(counted), *others])
    head = ["fault", *columns, "all", "first divergence", "largest weight error"]
    parts = [_table(lines, head)] if lines else []
    harmless = _groups((row for row in rows if row["harmless"]), "kind")
    if harmless:
        shown = [[kind, _of(some)] for kind, some in harmless.items()]
        parts.append(_table(shown, ["harmless", "no name"]))
    return "\n\n".join(parts)


def _totals(rows: Sequence[Row]) -> str:
    lines = []
    faults = [row for row in rows if not row["harmless"]]
    for background, some in (*_groups(faults, "background").items(), ("all", faults)):
        counted, weak = _counted(some), [row for row in some if not row["effect"]]
        listed = sum(row["rank"] is not None and row["rank"] <= 3 for row in weak)
        lines.append(
            [
                background,
                _of(counted),
                _of(counted, "right_class"),
                _of(counted, "first_divergence"),
                _of(counted, "largest_weight_error"),
                f"{listed} of {len(weak)}" if weak else "–",
            ]
        )
    harmless = [row for row in rows if row["harmless"]]
    head = ["background", "exact", "right class", "first divergence", "largest weight error",
            "weak: among the first three"]  # fmt: skip
    compared = [_apart(row) for row in rows if row["measured"] is not None]
    seconds = [row["seconds"] for row in rows]
    said = [_table(lines, head), f"harmless without a name: {_of(harmless)}"]
    if compared:
        said.append(
            f"proofs measured again: {len(compared)}, the largest difference {max(compared):.4f}"
        )
    if seconds:
        said.append(f"seconds a case: median {statistics.median(seconds):.1f}, "
                    f"most {max(seconds):.1f}")  # fmt: skip
    return "\n\n".join([*said, *_steps(rows)])


def _steps(rows: Sequence[Row]) -> list[str]:
    """Where the time goes: the median of each step over the cases that have it, most first."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, seconds in row["steps"].items():
            found.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(some) for name, some in found.items()}
    ranked = sorted(medians.items(), key=lambda item: (-item[1], item[0]))
    shown = [[name, f"{median:.2f}"] for name, median in ranked]
    return [_table(shown, ["step", "median seconds"])] if shown else []


def _failures(rows: Sequence[Row]) -> list[str]:
    wrong = [line(row) for row in rows if _wrong(row)]
    return ["\n".join(["not as it should be:", *wrong])] if wrong else []


def _wrong(row: Row) -> bool:
    return (not row["exact"] and (row["effect"] or row["harmless"])) or _apart(row) > PROOF


def line(row: Row) -> str:
    """One case in one line."""
    verdict = "ok   " if row["exact"] else "WRONG" if row["effect"] or row["harmless"] else "weak "
    if _apart(row) > PROOF:
        verdict = "PROOF"
    where = f"{row['kind']}/{row['background']}/{row['seed']}"
    expected = row["expected"][0] if row["expected"] else "no name"
    said = f"{row['named']} {row['said']}"
    nats = float("inf") if row["damage"] is None else row["damage"]
    figures = f"{nats:.4f} nats ({row['costs']:.4f} without)"
    proof = "" if row["printed"] is None else f", restored {row['printed']:.3f}"
    again = "" if row["measured"] is None else f" ({row['measured']:.3f})"
    rank = f", rank {row['rank']}" if row["rank"] else ""
    error = f", {row['error']}" if row["error"] else ""
    return (
        f"{verdict} {where}: {expected} {row['fault']} -> {said}, {figures}{proof}{again}{rank}, "
        f"{row['seconds']:.1f} s{error}"
    )
