"""What the verdict rests on: findings, weights, errors, notes and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_modellab.records.diagnosis import Diagnosis, Side, WeightChange
from pytest_modellab.reports import diagnosed
from pytest_modellab.reports.page.diagnosis.scale import shown
from pytest_modellab.reports.page.markup import Content, Html, details, el, section, table
from pytest_modellab.reports.page.words import MISSING
from pytest_modellab.reports.words import plural

_FIRST = 12


_MOST = 600


def parts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Ids and titles of what there is."""
    there = [
        ("findings", "Findings", diagnosis.findings if diagnosis.blame is None else ()),
        ("weights", "Weights", diagnosis.weights),
        ("errors", "Errors by place", diagnosis.nodes),
        ("notes", "Notes", diagnosis.notes),
        ("made", "How it was made", True),
    ]
    return [(ident, title) for ident, title, found in there if found]


def evidence(diagnosis: Diagnosis) -> Content:
    """All of it, each with its heading."""
    made = {
        "findings": _findings,
        "weights": _weights,
        "errors": _nodes,
        "notes": _notes,
        "made": _made,
    }
    return [section(ident, title, made[ident](diagnosis)) for ident, title in parts(diagnosis)]


def _findings(diagnosis: Diagnosis) -> Content:
    rows: list[list[Content]] = [
        [
            [el("span", "◆ ", class_="alarm") if f.site == diagnosis.culprit else None, f.site],
            f.fault,
            _or_missing(f.nats, diagnosed.nats),
            _or_missing(f.restored, diagnosed.share),
            [f.detail, _evidence(f.evidence)],
        ]
        for f in diagnosis.findings[:_MOST]
    ]
    head = ("place", "fault", "nats that enter", "damage gone with the base's part", "seen")
    return [
        el(
            "p",
            "What differs, the first named first. Only what was exchanged has a share of the "
            "damage that is gone.",
            class_="aside",
        ),
        table("Findings", head, rows, left=(0, 1, 4), style="prose"),
    ]


def _weights(diagnosis: Diagnosis) -> Content:
    order = sorted(diagnosis.weights, key=lambda w: (not w.stands_out, w.rewritten, -w.relative))
    head = ("leaf", "relative change", "usual among its peers", "the declared rounding gives", "")
    rows = [
        [w.site, shown(w.relative), _or_missing(w.usual, shown), _or_missing(w.expected, shown),
         _words(w)]
        for w in order[:_MOST]
    ]  # fmt: skip
    said = el(
        "p",
        "How far each part's weights are from the base's: the size of the difference over the size "
        "of the base's. That alone is no fault: weights may differ and compute the same.",
        class_="aside",
    )
    return [said, _folded("Weights", head, rows, len(order), (0, 4))]


def _nodes(diagnosis: Diagnosis) -> Content:
    order = sorted(diagnosis.nodes, key=lambda n: -abs(n.nats))
    head = ("place", "nats that enter", "relative error")
    rows = [[n.site, diagnosed.nats(n.nats), shown(n.relative)] for n in order[:_MOST]]
    said = el(
        "p",
        "The error that each place adds by itself, given what the base gives it, and what that "
        "costs to first order.",
        class_="aside",
    )
    return [said, _folded("Errors", head, rows, len(order), (0,))]


def _notes(diagnosis: Diagnosis) -> Content:
    return el("ul", [el("li", note) for note in diagnosis.notes[:_MOST]])


def _made(diagnosis: Diagnosis) -> Content:
    rows: list[Content] = [
        [el("dt", "base"), el("dd", _side(diagnosis.base))],
        [el("dt", "candidate"), el("dd", _side(diagnosis.candidate))],
        [el("dt", "looked into"), el("dd", diagnosis.level)],
    ]
    if diagnosis.probes:
        rows.append([el("dt", "probes"), el("dd", el("code", diagnosis.probes))])
    if diagnosis.versions:
        text = ", ".join(f"{k} {v}" for k, v in sorted(diagnosis.versions.items()))
        rows.append([el("dt", "versions"), el("dd", text)])
    if not diagnosis.seconds:
        return el("dl", rows, class_="facts")
    total = sum(diagnosis.seconds.values())
    steps = [[name, f"{value:.1f}"] for name, value in diagnosis.seconds.items()]
    cost = table("Seconds of each step", ("step", "seconds"), [*steps, ["all", f"{total:.1f}"]])
    return [el("dl", rows, class_="facts"), cost]


def _side(side: Side) -> Content:
    more = f", {side.parameters:,} parameters" if side.parameters else ""
    fingerprint = [", ", el("code", side.fingerprint[:16])] if side.fingerprint else None
    return [side.name, more, fingerprint]


def _folded(
    caption: str,
    head: tuple[str, ...],
    rows: list[list[str]],
    count: int,
    left: tuple[int, ...],
) -> Content:
    first = table(caption, head, rows[:_FIRST], left=left)
    if len(rows) <= _FIRST:
        return first
    rest = table(f"{caption}, the rest", head, rows[_FIRST:], left=left)
    cut = f", of which {_MOST - _FIRST} are shown" if count > _MOST else ""
    return [first, details(f"{plural(count - _FIRST, 'more place')}{cut}", rest)]


def _words(change: WeightChange) -> str:
    if change.rewritten:
        return "rewritten: computes the same"
    if change.stands_out:
        return "◆ stands out"
    return "equal" if change.relative < diagnosed.EQUAL else ""


def _evidence(found: Mapping[str, float | str]) -> Html | None:
    parts = [f"{k} {shown(v) if not isinstance(v, str) else v}" for k, v in found.items()]
    return el("small", ", ".join(parts)) if parts else None


def _or_missing(value: float | None, words: Callable[[float], str]) -> str:
    return MISSING if value is None else words(value)
