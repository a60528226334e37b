"""Success of every variant in every bucket and capability, as tables with coloured cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_modellab.reports import measured
from pytest_modellab.reports.page.markup import Content, Html, breakable, el, scroll, section, tabs
from pytest_modellab.reports.page.words import MISSING
from pytest_modellab.reports.words import number
from pytest_modellab.tradeoff.figures import TradeOff

CLASSES = 10
"""Colours between 0 and 1."""


_ORDER = {"easy": 0, "medium": 1, "hard": 2}


def heat(tradeoff: TradeOff, ident: str) -> Html:
    """The heat maps, by capability and by bucket."""
    capabilities = {
        p.variant: {c.name: c.mean.value for c in p.capabilities} for p in tradeoff.profiles
    }
    apart = {
        p.variant: {f"index {k}": v for k, v in measured.of_index(p.metrics).items()}
        for p in tradeoff.profiles
    }
    buckets = {p.variant: {b.name: b.mean for b in p.buckets} for p in tradeoff.profiles}
    floor = tradeoff.floor
    legend: list[Content] = [
        f"Mean {tradeoff.metric or 'score'}: ",
        [el("span", f"{i / CLASSES:.1f}", class_=f"key h{i}") for i in range(CLASSES)],
    ]
    if floor is not None:
        legend.append(
            f" In the buckets, ▼ marks a score under the floor of {number(floor)} that the task "
            "set asks of the worst bucket."
        )
    return section(
        f"{ident}-heat",
        "Where each variant is strong and weak",
        tabs(
            f"{ident}-heat-by",
            "Heat map of",
            [
                ("by capability", _flat(capabilities, apart)),
                ("by bucket", _grouped(buckets, floor)),
            ],
        ),
        el("p", legend, class_="aside legend"),
    )


def _flat(
    values: Mapping[str, Mapping[str, float]], apart: Mapping[str, Mapping[str, float]]
) -> Html:
    """By capability, and last, marked as such, what an approximate index found of exact search."""
    names = sorted({name for row in values.values() for name in row})
    last = list(dict.fromkeys(name for row in apart.values() for name in row))
    head = [
        el("th", "variant", scope="col", data_col="0"),
        [
            el(
                "th",
                breakable(name),
                el("small", measured.OF_THE_INDEX) if name in last else None,
                scope="col",
                data_col=str(i),
            )
            for i, name in enumerate([*names, *last], start=1)
        ],
    ]
    both = {variant: {**row, **apart[variant]} for variant, row in values.items()}
    return _map("Mean score by variant and capability", [head], both, [*names, *last], None)


def _grouped(values: Mapping[str, Mapping[str, float]], floor: float | None) -> Html:
    names = sorted({name for row in values.values() for name in row}, key=_place)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition("/")[0] or name, []).append(name)
    first = [
        el("th", "variant", scope="col", rowspan="2", data_col="0"),
        [
            el("th", breakable(group), scope="colgroup", colspan=str(len(members)))
            for group, members in groups.items()
        ],
    ]
    second = [
        el("th", name.rpartition("/")[2], scope="col", data_col=str(i))
        for i, name in enumerate(names, start=1)
    ]
    return _map("Mean score by variant and bucket", [first, second], values, names, floor)


def _map(
    caption: str,
    heads: Sequence[Content],
    values: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    floor: float | None,
) -> Html:
    rows = [
        el("tr", el("th", variant, scope="row"), [_cell(row.get(name), floor) for name in names])
        for variant, row in values.items()
    ]
    return scroll(
        caption,
        el(
            "table",
            el("caption", caption, class_="unseen"),
            el("thead", [el("tr", head) for head in heads]),
            el("tbody", rows),
            class_=f"heat sortable{' dense' if len(heads) > 1 else ''}",
        ),
    )


def _cell(value: float | None, floor: float | None) -> Html:
    if value is None:
        return el("td", MISSING)
    level = min(int(value * CLASSES), CLASSES - 1)
    if floor is not None and value < floor:
        low = [el("span", "under the floor ", class_="unseen"), f"▼{value:.2f}"]
        return el("td", low, class_=f"h{level} low", data_v=f"{value:.6g}")
    return el("td", f"{value:.2f}", class_=f"h{level}", data_v=f"{value:.6g}")


def _place(name: str) -> tuple[str, int, str]:
    group, _, last = name.rpartition("/")
    return group or name, _ORDER.get(last, len(_ORDER)), last
