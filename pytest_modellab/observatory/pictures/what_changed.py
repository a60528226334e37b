"""What changed: how far each leaf's effective weights are from the base's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pytest_modellab.observatory.pictures.numbers import finite, percent
from pytest_modellab.observatory.pictures.table import table
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Picture, WeightChange

_MOST = 1000
"""Per cent; a change of more is shown as this."""


_NO_NUMBER = 1e9
"""Relative change; what holds values that are no numbers is kept as this."""


def picture(view: View) -> Picture:
    """Layers × leaves, per cent that changed; or decades around what was declared."""
    known = [one for one in view.weights if finite([one.relative])]
    if not known:
        raise LeftOut("no leaf's weights could be compared")
    changed = [one for one in known if one.relative > 0]
    declared = bool(changed) and all(one.expected for one in changed)
    if declared:
        values = {one.site: math.log10(one.relative / (one.expected or 1)) for one in changed}
        unit = "change over what the declared rounding gives, as a power of ten (0: as declared)"
    else:
        values = {one.site: min(100 * one.relative, _MOST) for one in known}
        unit = f"per cent of the base's weights (0: equal; {_MOST}: that or more)"
    return Picture(
        name="what_changed",
        title="What changed",
        sentence=sentence(known),
        panels=(
            table(
                {one.site: values.get(one.site, math.nan) for one in known},
                middle=0.0 if declared else None,
                unit=unit,
                culprit=view.culprit,
            ),
        ),
    )


def sentence(weights: Sequence[WeightChange]) -> str:
    """What is to be seen in the weights."""
    changed = [one for one in weights if one.relative > 0]
    if not changed:
        return f"Nothing changed: the weights are equal in all {len(weights)} places."
    most = max(changed, key=lambda one: (one.relative, one.site))
    beyond = [one for one in changed if one.stands_out]
    if len(changed) == 1:
        return (
            f"{len(weights) - 1} of {len(weights)} places are equal; {most.site} differs by "
            f"{_relative(most)}{' and computes the same' if most.rewritten else ''}."
        )
    usual = statistics.median(one.relative for one in changed)
    said = f"{len(changed)} of {len(weights)} places differ, usually by {percent_of(usual)}"
    rewritten = sum(one.rewritten for one in changed)
    if rewritten:
        said += f", {rewritten} of them in branches that compute the same"
    if not beyond:
        return f"{said}; none stands out, the most changed is {most.site} ({_relative(most)})."
    far = max(beyond, key=lambda one: (one.relative, one.site))
    others = f" and {len(beyond) - 1} more stand out" if len(beyond) > 1 else " stands out"
    return f"{said}; {far.site} ({_relative(far)}){others}."


def _relative(one: WeightChange) -> str:
    times = (
        f", {one.relative / one.expected:.1f} times what was declared"
        if one.expected and one.relative > 1.5 * one.expected
        else ""
    )
    return percent_of(one.relative) + times


def percent_of(relative: float) -> str:
    """A relative change in per cent, however small; what is no number is kept as a huge one."""
    if relative >= _NO_NUMBER:
        return "an infinite share"
    return percent(relative) if relative >= 0.01 else f"{100 * relative:.2g} %"
