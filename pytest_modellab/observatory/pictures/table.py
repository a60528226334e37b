"""Leaves and nodes as a table: layers down, their parts across."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_modellab.observatory.pictures import framing, numbers
from pytest_modellab.records.diagnosis import Heat

_LAYER = re.compile(r"layer\.(\d+)(?:\.(.+))?")


_ORDER = (
    "input_norm.input",
    "input_norm",
    "attention.q_proj",
    "attention.k_proj",
    "attention.v_proj",
    "attention.core",
    "attention.o_proj",
    "post_norm.input",
    "post_norm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.core",
    "mlp.down_proj",
)


ITSELF = "itself"
"""The column of a site that is no part of a layer, or a whole one."""


_FIRST = ("tokenizer", "embedding", "embedding_scale", "rope")
"""What lies in front of the layers; all other sites without a layer lie behind them."""


def place(site: str) -> tuple[str, str]:
    """The row and the column of a site."""
    found = _LAYER.fullmatch(site)
    if found is None:
        return site, ITSELF
    return f"layer {found[1]}", found[2] or ITSELF


def table(
    values: Mapping[str, float], *, middle: float | None, unit: str, culprit: str | None
) -> Heat:
    """A matrix of sites' values.

    Args:
        values: site → value.
        middle: of the colours, as :class:`Heat` has it.
        unit: of the values.
        culprit: what is framed.
    """
    cells = {place(site): value for site, value in values.items()}
    framed = {place(site) for site in values if framing.within(site, culprit)}
    rows = sorted(dict.fromkeys(row for row, _ in cells), key=_depth)
    columns = sorted(dict.fromkeys(column for _, column in cells), key=_rank)
    return Heat(
        rows=tuple(rows),
        columns=tuple(map(_label, columns)),
        values=tuple(
            tuple(
                numbers.plain(cells[row, column]) if (row, column) in cells else None
                for column in columns
            )
            for row in rows
        ),
        middle=middle,
        unit=unit,
        framed=tuple(
            (down, across)
            for down, row in enumerate(rows)
            for across, column in enumerate(columns)
            if (row, column) in framed
        ),
    )


def _label(column: str) -> str:
    """A projection's own name, which no other part has."""
    return column.rpartition(".")[2] if column.endswith("_proj") else column


def _depth(row: str) -> tuple[int, int]:
    if row.startswith("layer "):
        return 1, int(row.removeprefix("layer "))
    return (0, _FIRST.index(row)) if row in _FIRST else (2, 0)


def _rank(column: str) -> int:
    if column == ITSELF:
        return -1
    return _ORDER.index(column) if column in _ORDER else len(_ORDER)
