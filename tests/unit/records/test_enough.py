"""What is said of a task set's size before a run is what the gate does with it."""

from __future__ import annotations

import pytest

from pytest_modellab import gate
from pytest_modellab.records.enough import Size, least_margin, least_size, too_small


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05, 0.1, 0.25, 0.5])
def test_the_least_size_is_the_gate_s(margin: float) -> None:
    size = least_size(margin, 0.05)
    assert size == gate.pass_size(churn=0.0, margin=margin)
    assert size is not None
    for n, verdict in ((size, "pass"), (size - 1, "inconclusive")):
        scores = [float(i % 2) for i in range(n)]
        assert gate.decide(scores, scores, margin=margin) == verdict


@pytest.mark.parametrize("size", [2, 5, 20, 66, 132, 500])
def test_the_least_margin_passes_and_a_hundredth_less_does_not(size: int) -> None:
    margin = least_margin(size, 0.05)
    assert margin is not None
    scores = [float(i % 2) for i in range(size)]
    assert gate.decide(scores, scores, margin=margin) == "pass"
    if margin > 0.01:
        assert gate.decide(scores, scores, margin=round(margin - 0.01, 2)) == "inconclusive"


def test_one_sample_or_a_margin_of_0_passes_never() -> None:
    assert least_margin(1, 0.05) is None
    assert least_size(0.0, 0.05) is None
    assert least_size(0.99, 0.05) == 2


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (Size.of(None, 149, 149, 0.02, 0.05), []),
        (
            Size.of(None, 20, 20, 0.02, 0.05),
            [
                "20 samples cannot pass at margin = 0.02 (all samples), even if nothing changed: "
                "149 would, or margin = 0.14 with these"
            ],
        ),
        (
            Size.of("greeting", 20, 5, 0.05, 0.05),
            [
                "20 samples in 5 clusters cannot pass at capability_margin = 0.05 (capability "
                "greeting), even if nothing changed: 59 clusters would, or capability_margin = "
                "0.46 with these"
            ],
        ),
        (
            Size.of(None, 132, 132, 0.0, 0.05),
            [
                "132 samples cannot pass at margin = 0 (all samples), even if nothing changed: "
                "margin = 0.03 would"
            ],
        ),
        (
            Size.of(None, 1, 1, 0.0, 0.05),
            ["1 sample cannot pass at margin = 0 (all samples), even if nothing changed"],
        ),
    ],
)
def test_what_is_said(size: Size, said: list[str]) -> None:
    assert too_small([size]) == said


def test_the_smallest_is_named_once_for_each_rule() -> None:
    sizes = [Size.of(name, n, n, 0.1, 0.05) for name, n in (("a", 9), ("b", 8), ("c", 29))]
    (line,) = too_small([*sizes, *sizes])
    assert line.startswith("8 samples cannot pass at capability_margin = 0.1 (capability b), ")
    assert line.endswith("; 1 more is too small")
    mean = Size.of(None, 8, 8, 0.1, 0.05)
    assert len(too_small([mean, *sizes])) == 2


def test_a_name_is_made_visible() -> None:
    (line,) = too_small([Size.of("a\x1b[31m\n", 3, 3, 0.1, 0.05)])
    assert "(capability a\\x1b[31m\\n)" in line
