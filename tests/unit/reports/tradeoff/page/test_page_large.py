"""60 variants with 40 capabilities of 3 difficulties make a page that still opens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import hangs
import pytest

from pytest_modellab.records.runs import BucketScore
from pytest_modellab.reports import page

Make = Callable[..., Any]

VARIANTS, CAPABILITIES = 60, 40


@pytest.fixture
def large(tradeoff: Make) -> Any:
    example = tradeoff(only=["prompting", "support", "overtrained"])
    shapes = {p.variant: p for p in example.profiles}
    names = [
        "prompting",
        "support",
        "overtrained",
        *(f"variant_{i:02d}" for i in range(3, VARIANTS)),
    ]
    profiles = []
    for name in names:
        shape = shapes.get(name, shapes["support"])
        capabilities = tuple(
            dataclasses.replace(shape.capabilities[k % 6], name=f"capability_{k:02d}")
            for k in range(CAPABILITIES)
        )
        buckets = tuple(
            BucketScore(f"{c.name}/{d}", 83, c.mean.value) for c in capabilities for d in "abc"
        )
        profiles.append(
            dataclasses.replace(shape, variant=name, capabilities=capabilities, buckets=buckets)
        )
    deltas = [dataclasses.replace(d, variant=n) for n in names[3:] for d in example.deltas[:3]]
    choices = [
        dataclasses.replace(
            c,
            shares={**c.shares, **dict.fromkeys(names[3:], 0.0)},
            steps={**c.steps, **dict.fromkeys(names[3:], c.steps["support"])},
            misses={**c.misses, **dict.fromkeys(names[3:], ())},
        )
        for c in example.choices
    ]
    draws = {
        metric: {name: found.get(name, found["support"]) for name in names}
        for metric, found in example.draws.items()
    }
    return dataclasses.replace(
        example,
        profiles=tuple(profiles),
        deltas=(*example.deltas, *deltas),
        choices=tuple(choices),
        draws=draws,
    )


def test_size_and_time_stay_bounded(large: Any, read_html: Make) -> None:
    pytest.importorskip("matplotlib")
    with hangs.ends():
        text = page.render([large], interactive=True)
    assert len(text.encode()) < 5_000_000
    root = read_html(text)
    assert len(root.all("svg")) <= 20
    said = root.text
    assert "Charts show 6 of 60 variants: the recommended, those that lost a capability" in said
    assert "Drawn: 8 of 60 variants with accepted runs; the table has all." in said
    assert "further verdicts, none of them a block" in said
    tables = {t.first("caption").text: t for t in root.all("table")}
    assert len(tables["Mean score by variant and bucket"].rows()) == VARIANTS
    every = tables["Success by variant and capability, beside the accepted run and prompting"]
    assert len(every.rows()) == VARIANTS * CAPABILITIES


def test_the_charts_are_of_what_matters(large: Any, read_html: Make) -> None:
    pytest.importorskip("matplotlib")
    root = read_html(page.render([large]))
    drawn = [s.first("title").text for s in root.all("svg")]
    bars = [t.partition(":")[0] for t in drawn if t.endswith("success by capability")]
    assert bars[:2] == ["support", "overtrained"]
    assert len(bars) == 6
